"""Requests that were given up while the scheduler was frozen are not executed when it continues."""

import asyncio
import re

import pytest

from contracts.scheduler.submissions import SUBMIT_JOB
from tests.kit.fleet import Fleet
from tests.kit.freezing import frozen
from tests.kit.http import http_client

SUBMITS = 24

pytestmark = pytest.mark.chaos


@pytest.mark.requirement("O-11")
async def test_refused_submits_of_a_frozen_scheduler_are_neither_run_nor_billed(fragile: Fleet) -> None:
    key = await asyncio.to_thread(fragile.create_user, "impatient", "enterprise")
    submission = {"prompt": "one", "width": 64, "height": 64, "steps": 1}
    async with fragile.client(key) as client:
        first = await client.post("/jobs", json=submission)
        assert first.status_code == 201
        assert (await fragile.wait_until_ended(client, first.json()["job_id"]))["status"] == "completed"
        started, pid = len(await fragile.list_runs()), fragile.pid("scheduler")
        headers = [{"Idempotency-Key": f"frozen-{number}"} for number in range(SUBMITS)]
        with frozen(pid):
            refused = await asyncio.gather(*[client.post("/jobs", json=submission, headers=one) for one in headers])
        assert [answer.status_code for answer in refused] == [503] * SUBMITS

        retried = await client.post("/jobs", json=submission, headers=headers[0])
        again = await client.post("/jobs", json=submission, headers=headers[0])
        assert (retried.status_code, again.status_code) == (201, 201)
        assert retried.json()["job_id"] == again.json()["job_id"]
        assert (await fragile.wait_until_ended(client, retried.json()["job_id"]))["status"] == "completed"

        jobs = {job["job_id"] for job in (await client.get("/jobs?limit=100")).json()["jobs"]}
        assert jobs == {first.json()["job_id"], retried.json()["job_id"]}
        assert len(await fragile.list_runs()) == started + 1
        used = (await client.get("/usage")).json()["usage"]
        assert sum(day["images"] for day in used) == 2
    async with http_client() as http:
        metrics = (await http.get(fragile.credentials["metrics"]["scheduler"])).text
    expired = re.search(rf'comfyfleet_rpc_expired_total{{topic="{re.escape(SUBMIT_JOB.name)}"}} (\S+)', metrics)
    assert expired is not None, metrics
    assert float(expired[1]) >= SUBMITS
