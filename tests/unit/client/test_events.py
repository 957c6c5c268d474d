import json
from typing import Any

import pytest

from comfyfleet_client.errors import UnreadableResponse
from comfyfleet_client.events import (
    End,
    EventFilter,
    JobEvent,
    OutputMade,
    Progress,
    Snapshot,
    Status,
    StillWaiting,
    parse_event,
)
from comfyfleet_client.results import MissingOption

AT = "2026-11-23T09:00:00+00:00"


def frame(kind: str, /, **fields: Any) -> str:
    return json.dumps({"type": kind, "job_id": "j", "at": AT} | fields)


def event(kind: str, /, **fields: Any) -> JobEvent:
    found = parse_event(frame(kind, **fields))
    assert found is not None
    return found


def output(id_: str) -> JobEvent:
    made = {"node_id": "9", "name": "a.png", "kind": "image", "content_type": "image/png", "size_bytes": 3}
    return event("output", id=id_, index=0, sha256="ab", url="/x", **made)


def test_websocket_frames_are_parsed_into_types() -> None:
    assert isinstance(event("snapshot", seq=1, status="pending", progress=0, outputs=[], urls={}), Snapshot)
    failed = event("status", seq=4, status="failed", error={"code": "node.error", "message": "No."})
    assert isinstance(failed, Status)
    assert failed.error is not None
    assert failed.error.code == "node.error"
    progress = event("progress", progress=12.5, value=3, max=20, node="5", node_class="KSampler")
    assert isinstance(progress, Progress)
    assert (progress.progress, progress.value, progress.node_class) == (12.5, 3.0, "KSampler")
    assert isinstance(output("o1"), OutputMade)
    end = event("end", seq=4, status="completed")
    assert isinstance(end, End)
    assert end.succeeded


def test_pending_job_frames_contain_the_waiting_reason() -> None:
    waiting = {
        "reason": "model_missing",
        "since": AT,
        "message": "m",
        "detail": {"missing": [{"node_class": "C", "input": "i", "value": "v", "nodes": ["n"]}], "new_field": 1},
    }
    for told in (event("snapshot", seq=1, status="pending", waiting=waiting), event("waiting", waiting=waiting)):
        assert isinstance(told, Snapshot | StillWaiting)
        assert told.waiting is not None
        assert told.waiting.reason == "model_missing"
        assert told.waiting.detail.missing == (MissingOption("C", "i", "v", ("n",)),)


def test_unknown_frames_and_previews_are_skipped() -> None:
    assert parse_event(frame("weather", sunny=True)) is None
    assert parse_event(b"\x89PNG") is None


@pytest.mark.parametrize("message", ["", "{", '{"type": "status"}', '{"type": "end", "job_id": 3}', "[" * 100_000])
def test_malformed_frame_raises_a_clear_error(message: str) -> None:
    with pytest.raises(UnreadableResponse):
        parse_event(message)


def told(story: EventFilter, *events: JobEvent) -> list[Any]:
    return [getattr(each, "seq", each.type) for each in events if story.admit(each)]


def test_each_state_and_output_is_yielded_once_across_reconnects() -> None:
    story = EventFilter(after=0)
    first = event("snapshot", seq=2, status="processing")
    assert told(story, first, *(event("status", seq=n, status="processing") for n in (1, 2))) == [2, 1, 2]
    assert story.after == 2
    again = event("snapshot", seq=3, status="processing")
    assert told(story, again, event("status", seq=2, status="processing")) == []
    assert told(story, event("status", seq=3, status="processing"), output("o1"), output("o2")) == [
        3,
        "output",
        "output",
    ]
    assert story.after == 3
    last = event("status", seq=4, status="completed")
    assert told(story, again, output("o1"), output("o2"), last, event("end", seq=4, status="completed")) == [4, 4]
    assert story.ended


def test_watching_without_a_position_continues_from_the_snapshot() -> None:
    story = EventFilter()
    assert told(story, event("snapshot", seq=2, status="processing")) == [2]
    assert story.after == 2


def test_final_snapshot_is_yielded_after_its_outputs() -> None:
    story = EventFilter()
    snapshot = event("snapshot", seq=4, status="completed")
    assert told(story, snapshot, output("o1")) == [4, "output"]
    assert story.after is None
    assert told(story, snapshot, output("o1"), output("o2"), event("status", seq=4, status="completed")) == [
        "output",
        4,
    ]
