"""Deleting every stream loses no job: PostgreSQL is the source of truth, NATS only transports messages."""

import asyncio
import json
import shutil
from collections import Counter

import pytest

from tests.kit.fleet import Fleet
from tests.kit.waiting import until

JOBS = 60

pytestmark = pytest.mark.chaos


@pytest.mark.requirement("F-66")
async def test_queued_jobs_survive_the_loss_of_the_jetstream_store(three_nodes: Fleet) -> None:
    fleet, earlier = three_nodes, {run["prompt_id"] for run in await three_nodes.runs()}
    async with fleet.client() as client:
        await order_nodes(fleet, "cordon")  # or a slow machine would run the first jobs before it has accepted the last
        jobs = [
            (await fleet.submit(client, prompt=f"wave {n}", width=64, height=64, steps=40))["job_id"]
            for n in range(JOBS)
        ]
        await order_nodes(fleet, "uncordon")
        ended_before = Counter([job["status"] for job in (await client.get("/jobs?limit=100")).json()["jobs"]])
        assert ended_before["pending"] > JOBS // 2
        killed = fleet.kill("nats")
        await asyncio.to_thread(shutil.rmtree, fleet.state / "nats/jetstream", ignore_errors=True)
        await fleet.replaced("nats", killed)
        # The server may have restarted before the last file was deleted, so delete the folder once more.
        again = fleet.kill("nats")
        await asyncio.to_thread(shutil.rmtree, fleet.state / "nats/jetstream", ignore_errors=True)
        await fleet.replaced("nats", again)
        for job_id in jobs:
            assert (await fleet.ended(client, job_id, within_s=120))["status"] == "completed"
        runs = [run for run in await fleet.runs() if run["prompt_id"] not in earlier]
        assert len(runs) == JOBS
        assert len({run["prompt_id"] for run in runs}) == JOBS
        await until(lambda: stream_was_made_again(fleet))


async def order_nodes(fleet: Fleet, order: str) -> None:
    async with fleet.client(fleet.credentials["admin_key"]) as admin:
        for node in (await admin.get("/admin/nodes")).json()["nodes"]:
            answer = await admin.post(f"/admin/nodes/{node['node']}/{order}")
            assert answer.status_code == 200, answer.text


def stream_was_made_again(fleet: Fleet) -> bool:
    """Whether the scheduler found the stream missing, which proves that the fault occurred."""
    lines = (fleet.state / "logs/scheduler.log").read_text().splitlines()
    made = [json.loads(line) for line in lines if '"scheduler.stream_recreated"' in line]
    return len(made) >= 2
