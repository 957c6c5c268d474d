"""Subjects are built from validated tokens."""

import pytest

from contracts.registry import STREAMS, TOPICS
from contracts.scheduler.attempts import REQUEST_WORK
from contracts.scheduler.jobs import JOB_CHANGED
from contracts.scheduler.submissions import SUBMIT_JOB
from contracts.wire.topic import FLEET


def test_subject_round_trips() -> None:
    subject = JOB_CHANGED.subject("t1", "j1")
    assert subject == "evt.scheduler.job.changed.v1.t1.j1"
    assert (JOB_CHANGED.parse_subject(subject).tenant, JOB_CHANGED.parse_subject(subject).key) == ("t1", "j1")


@pytest.mark.parametrize("token", ["", "*", ">", "a.b", "a b", "a\n", "x" * 65, "é"])
def test_token_cannot_change_the_structure_of_a_subject(token: str) -> None:
    with pytest.raises(ValueError, match="cannot be addressed"):
        SUBMIT_JOB.subject(token)
    with pytest.raises(ValueError, match="cannot be addressed"):
        REQUEST_WORK.subject(FLEET, token)


def test_subject_key_is_required_exactly_where_declared() -> None:
    with pytest.raises(ValueError, match="cannot be addressed"):
        REQUEST_WORK.subject(FLEET)
    with pytest.raises(ValueError, match="cannot be addressed"):
        SUBMIT_JOB.subject("t", "k")


def test_topic_names_are_unique_and_streams_store_declared_topics() -> None:
    names = [topic.name for topic in TOPICS]
    assert len(names) == len(set(names))
    assert all(topic in TOPICS for stream in STREAMS for topic in stream.topics)
