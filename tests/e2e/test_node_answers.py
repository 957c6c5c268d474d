"""Invalid responses of a node do not block its executor: after each, an ordinary job runs on the whole system."""

import json

import httpx
import pytest

from tests.e2e.conftest import simulated_only
from tests.fuzz.node_answers import fuzz
from tests.kit.fleet import HELLO, Fleet

pytestmark = simulated_only

IMAGE = {"class_type": "EmptyImage", "inputs": {"width": 16, "height": 16, "batch_size": 1, "color": 1}}
SAVE = {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "x"}}


@pytest.mark.parametrize("text", ["\\u0000", "a\\ud800b", "\\u001b[31m", "x" * 300_000])
async def test_any_node_error_text_fails_its_job_only(fleet: Fleet, client: httpx.AsyncClient, text: str) -> None:
    inputs = {"image": ["1", 0], "exception_type": "ValueError", "message": f'json:"{text}"'}
    fail = {"class_type": "SimFail", "inputs": inputs}
    job = await fleet.submit(client, workflow={"1": IMAGE, "2": fail, "3": SAVE})
    ended = await fleet.wait_until_ended(client, job["job_id"])
    assert (ended["status"], ended["error"]["code"]) == ("failed", "workflow.execution_failed")
    json.dumps(ended).encode("utf-8")
    assert "\x00" not in ended["error"]["message"]
    job = await fleet.submit(client, workflow=HELLO)
    assert (await fleet.wait_until_ended(client, job["job_id"]))["status"] == "completed"


@pytest.mark.requirement("B-99")
async def test_jobs_still_run_after_mutated_node_answers() -> None:
    report = await fuzz(40, seed=7)
    assert report.mutator.done.total() >= 40
    assert len({route for route, number in report.mutator.done.items() if number}) >= 4
    assert report.failures == []
