"""The command line's output for a watched job."""

from datetime import UTC, datetime

import pytest

from comfyfleet_client.cli import watching
from comfyfleet_client.events import JobEvent, Snapshot, Status, StillWaiting
from comfyfleet_client.results import Waiting

AT = datetime(2026, 11, 29, tzinfo=UTC)


def test_status_line_says_why_a_job_waits(capsys: pytest.CaptureFixture[str]) -> None:
    away = Waiting("no_node_online", AT, "No node is online.")
    line = Waiting("queue", AT, "The job waits for a free node.")
    events: list[JobEvent] = [
        Snapshot("j", AT, 1, "pending", waiting=away),
        StillWaiting("j", AT, waiting=line),
        Status("j", AT, 2, "processing"),
    ]
    watching.show_progress(events)
    assert capsys.readouterr().err.splitlines() == [
        "pending",
        "waiting: No node is online.",
        "waiting: The job waits for a free node.",
        "processing",
    ]
    watching.show_progress(events[:1], named=True)
    assert capsys.readouterr().err.splitlines() == ["j pending", "j waiting: No node is online."]
