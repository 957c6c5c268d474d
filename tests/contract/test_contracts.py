"""The registry, its examples, generated files and permissions agree."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from contracts.permissions import NATS_API_FEEDS, NATS_API_REQUESTS, build_permissions
from contracts.registry import REFUSALS, SERVICES, STREAMS, TOPICS
from contracts.wire.errors import InternalFault
from contracts.wire.topic import MessageKind, Rpc, Topic

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "contracts/examples"


def examples() -> list[Any]:
    return [pytest.param(path, id=str(path.relative_to(EXAMPLES))) for path in sorted(EXAMPLES.rglob("*.json"))]


@pytest.mark.parametrize("path", examples())
def test_golden_example_round_trips_unchanged(path: Path) -> None:
    topic = next(topic for topic in TOPICS if topic.name == path.parent.name)
    model = topic.reply if isinstance(topic, Rpc) and path.stem.startswith("reply") else topic.payload
    example = json.loads(path.read_text())
    message = model.model_validate_json(path.read_text())
    written = json.loads(message.model_dump_json())
    assert example.items() <= written.items()


def test_every_topic_has_an_example_request_and_reply() -> None:
    for topic in TOPICS:
        stems = {path.stem for path in (EXAMPLES / topic.name).glob("*.json")}
        assert "message" in stems, topic.name
        assert not isinstance(topic, Rpc) or "reply" in stems, topic.name


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_commands_refuse_unknown_fields_and_facts_ignore_them(topic: Topic[Any]) -> None:
    example = json.loads((EXAMPLES / topic.name / "message.json").read_text()) | {"unheard_of": 1}
    if topic.kind is MessageKind.RPC:
        with pytest.raises(ValidationError):
            topic.payload.model_validate_json(json.dumps(example))
    else:
        topic.payload.model_validate_json(json.dumps(example))


def test_error_codes_are_unique_and_well_formed() -> None:
    codes = [refusal.code for refusal in REFUSALS]
    assert len(codes) == len(set(codes))
    assert all(re.fullmatch(r"[a-z_]+(\.[a-z_]+)+", code) for code in codes if code != InternalFault.code)


def test_every_topic_is_owned_produced_and_consumed_by_known_parties() -> None:
    parties = {*SERVICES, "outside"}
    for topic in TOPICS:
        assert topic.owner in SERVICES
        assert topic.producers
        assert topic.consumers
        assert {*topic.producers, *topic.consumers} <= parties
        if isinstance(topic, Rpc):
            assert topic.consumers == (topic.owner,)


def test_only_the_owner_may_serve_or_publish_its_topics() -> None:
    for topic in TOPICS:
        for service in SERVICES:
            granted = build_permissions(service, "node-1" if service == "executor" else None)
            speaks = any(subject.startswith(topic.name) for subject in granted.publish)
            hears = any(subject.startswith(topic.name) for subject in granted.subscribe)
            assert speaks == (service in topic.producers), (service, topic.name)
            if topic.kind is not MessageKind.EVT:
                assert hears == (service in topic.consumers), (service, topic.name)


@pytest.mark.requirement("S-75")
def test_executor_publishes_for_its_own_node_only() -> None:
    granted = build_permissions("executor", "node-1")
    for topic in TOPICS:
        if topic.key == "node":
            assert topic.pattern not in granted.publish
            assert topic.pattern not in granted.subscribe
    assert any(subject.endswith(".node-1") for subject in granted.publish)


@pytest.mark.requirement("S-75")
def test_only_the_owner_may_create_a_stream_and_nobody_may_delete_it() -> None:
    for service in SERVICES:
        granted = build_permissions(service, "node-1" if service == "executor" else None).publish
        makes = {subject.rsplit(".", 1)[1] for subject in granted if "STREAM.CREATE" in subject}
        assert makes == {stream.name for stream in STREAMS if stream.owner == service}
        assert not any("DELETE" in subject or "PURGE" in subject or subject == ">" for subject in granted)


def test_external_systems_reach_only_their_own_requests_and_feeds() -> None:
    for topic in (*NATS_API_REQUESTS.values(), *NATS_API_FEEDS.values()):
        assert "outside" in {*topic.producers, *topic.consumers}
