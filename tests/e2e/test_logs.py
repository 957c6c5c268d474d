"""One job in the logs of all services."""

import json
import re
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.e2e.conftest import simulated_only
from tests.kit.fleet import Fleet, read_frames
from tests.kit.paused_nodes import no_job_starts
from tests.kit.waiting import until

REQUEST_ID = "follow-this-job-0001"
ACCEPTED = ("gateway", "gateway.job.accepted")  # logged after job.admitted, before or after job.claimed
STORED = ("notifier", "notifier.event.stored")  # logged after the end, before or after the delivery
STORY = (
    ("auth", "auth.key.verified"),
    ("scheduler", "scheduler.job.admitted"),
    ("scheduler", "scheduler.job.claimed"),
    ("executor", "executor.attempt.accepted"),
    ("executor", "executor.prompt.posted"),
    ("gateway", "gateway.output.stored"),
    ("executor", "executor.attempt.ended"),
    ("scheduler", "scheduler.attempt.ended"),
    ("notifier", "notifier.job.delivered"),
)


def lines_of(fleet: Fleet, request_id: str) -> list[dict[str, Any]]:
    """Return the lines of all services with this request id, by time."""
    texts = [path.read_text() for path in (fleet.state / "logs").iterdir()]
    lines = [json.loads(line) for text in texts for line in text.splitlines() if request_id in line]
    return sorted((line for line in lines if line.get("request_id") == request_id), key=lambda line: str(line["at"]))


@pytest.mark.requirement("log.follow-a-job", "log.access", "log.no-credentials")
@simulated_only
async def test_one_job_can_be_followed_through_the_logs_of_all_services(fleet: Fleet) -> None:
    key = fleet.create_user("follow", "pro")
    submission = {"prompt": "a lighthouse", "width": 64, "height": 64, "steps": 2}
    async with fleet.client(key) as http, AsyncExitStack() as sockets:
        async with no_job_starts(fleet):
            answer = await http.post("/jobs", json=submission, headers={"X-Request-Id": REQUEST_ID})
            assert answer.status_code == 201, answer.text
            job_id = answer.json()["job_id"]
            socket = await sockets.enter_async_context(fleet.watch(job_id, key=key))
            assert json.loads(await socket.recv())["type"] == "snapshot"
        assert (await read_frames(socket))[-1]["type"] == "end"
        assert (await fleet.wait_until_ended(http, job_id))["status"] == "completed"

    def find(service: str, event: str) -> dict[str, Any] | None:
        found = (line for line in lines_of(fleet, REQUEST_ID) if (line["service"], line["event"]) == (service, event))
        return next(found, None)

    await until(lambda: all(find(*step) for step in (*STORY, ACCEPTED, STORED)))
    story = [line for step in STORY if (line := find(*step)) is not None]
    assert [line["at"] for line in story] == sorted(line["at"] for line in story)
    accepted, stored = find(*ACCEPTED), find(*STORED)
    assert accepted is not None
    assert stored is not None
    assert story[1]["at"] <= accepted["at"]
    assert story[-2]["at"] <= stored["at"]
    assert {line["job_id"] for line in (*story[1:], accepted, stored)} == {job_id}
    of_attempt = [line for line in story if line["service"] in {"scheduler", "executor"} and "attempt" in line]
    assert {line["attempt"] for line in of_attempt} == {1}
    assert len({line["node"] for line in of_attempt}) == 1
    access = next(line for line in lines_of(fleet, REQUEST_ID) if line["event"] == "http.request")
    assert (access["method"], access["route"], access["status"]) == ("POST", "/api/v1/jobs", 201)
    everything = "\n".join(path.read_text() for path in (fleet.state / "logs").iterdir())
    assert key not in everything
    assert not re.search(r"/internal/(inputs|outputs)/[^*{]", everything)
