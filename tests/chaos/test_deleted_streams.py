"""Deleting every stream loses no job: PostgreSQL is the source of truth, NATS only transports messages."""

import asyncio
import json
import shutil
from collections import Counter

import pytest

from tests.kit.fleet import Fleet, running_fleet
from tests.kit.paused_nodes import no_job_starts
from tests.kit.waiting import until

JOBS = 100

pytestmark = pytest.mark.chaos


@pytest.mark.requirement("F-66")
async def test_queued_jobs_survive_the_loss_of_the_jetstream_store() -> None:
    async with (
        running_fleet("--nodes", "2", "--step-ms", "20") as fleet,
        fleet.client() as client,
    ):
        async with no_job_starts(fleet):  # so that most jobs are still queued when the store is lost
            jobs = [
                (await fleet.submit(client, prompt=f"wave {n}", width=64, height=64, steps=10))["job_id"]
                for n in range(JOBS)
            ]
        before = Counter([job["status"] for job in (await client.get("/jobs?limit=100")).json()["jobs"]])
        assert before["pending"] > JOBS // 10
        killed = fleet.kill("nats")
        await asyncio.to_thread(shutil.rmtree, fleet.state / "nats/jetstream", ignore_errors=True)
        await fleet.wait_until_replaced("nats", killed)
        # The server may have restarted before the last file was deleted, so delete the folder once more.
        again = fleet.kill("nats")
        await asyncio.to_thread(shutil.rmtree, fleet.state / "nats/jetstream", ignore_errors=True)
        await fleet.wait_until_replaced("nats", again)
        for job_id in jobs:
            assert (await fleet.wait_until_ended(client, job_id, within_s=120))["status"] == "completed"
        runs = await fleet.list_runs()
        assert len(runs) == JOBS
        assert len({run["prompt_id"] for run in runs}) == JOBS
        await until(lambda: is_stream_recreated(fleet))


def is_stream_recreated(fleet: Fleet) -> bool:
    """Return whether the scheduler found the stream missing, which proves that the fault occurred."""
    lines = (fleet.state / "logs/scheduler.log").read_text().splitlines()
    made = [json.loads(line) for line in lines if '"scheduler.stream_recreated"' in line]
    return len(made) >= 2
