"""Limits of a tier hold under concurrent requests."""

import asyncio
from functools import partial
from itertools import pairwise
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import simulated_only
from tests.kit.fleet import HELLO, Fleet, is_processing
from tests.kit.waiting import until

PICTURE = {"prompt": "x", "width": 64, "height": 64, "steps": 1}
ROUNDS, PARALLEL = 5, 30


def slow(seconds: float) -> dict[str, Any]:
    """A workflow that keeps its node busy for a while and produces one image."""
    return {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0}},
        "2": {"class_type": "SimSleep", "inputs": {"image": ["1", 0], "seconds": seconds}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "slow"}},
    }


@pytest.mark.requirement("F-95", "limit.images")
@simulated_only
async def test_last_quota_image_goes_to_exactly_one_of_thirty_submissions(fleet: Fleet) -> None:
    async with fleet.client(fleet.create_user("quota", "free", graph_policy="open")) as client:
        running = await fleet.submit(client, workflow=slow(120))  # takes the only slot, so that later jobs wait
        await until(partial(is_processing, client, running["job_id"]))
        await fleet.submit(client, **PICTURE, num_images=8)  # 1 + 8 of 10
        for _ in range(ROUNDS):
            answers = await asyncio.gather(*[client.post("/jobs", json=PICTURE) for _ in range(PARALLEL)])
            accepted = [answer for answer in answers if answer.status_code == 201]
            refused = [answer for answer in answers if answer.status_code == 429]
            assert (len(accepted), len(refused)) == (1, PARALLEL - 1)
            assert accepted[0].headers["x-quota-remaining"] == "0"
            assert {answer.json()["code"] for answer in refused} == {"quota.images_exceeded"}
            assert all(int(answer.headers["retry-after"]) > 0 for answer in refused)
            # Cancelled before its start: the image is refunded, and the next round has the same initial state.
            ended = await client.delete(f"/jobs/{accepted[0].json()['job_id']}")
            assert ended.json()["status"] == "cancelled"
        await client.delete(f"/jobs/{running['job_id']}")


@pytest.mark.requirement("limit.queue")
@simulated_only
async def test_queue_limit_refuses_excess_jobs(fleet: Fleet) -> None:
    async with fleet.client(fleet.create_user("queuer", "free")) as client:
        me = (await client.get("/auth/me")).json()
        async with fleet.client(fleet.credentials["admin_key"]) as admin:
            plenty = {"limits": {"images_per_day": 1000, "requests_per_minute": 1_000_000, "graph_policy": "open"}}
            assert (await admin.patch(f"/admin/users/{me['id']}", json=plenty)).status_code == 200
        running = await fleet.submit(client, workflow=slow(120))
        await until(partial(is_processing, client, running["job_id"]))
        answers = await asyncio.gather(*[client.post("/jobs", json=PICTURE) for _ in range(PARALLEL)])
        queued = [answer.json()["job_id"] for answer in answers if answer.status_code == 201]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert (len(queued), len(refused)) == (10, PARALLEL - 10)
        assert {answer.json()["code"] for answer in refused} == {"quota.queue_full"}
        await client.delete(f"/jobs/{queued[0]}")
        queued.append((await fleet.submit(client, **PICTURE))["job_id"])
        for job_id in (*queued, running["job_id"]):
            await client.delete(f"/jobs/{job_id}")


@pytest.mark.requirement("tier free")
@simulated_only
async def test_free_tier_runs_one_job_at_a_time(fleet: Fleet) -> None:
    async with fleet.client(fleet.create_user("single", "free", graph_policy="open")) as client:
        jobs = [await fleet.submit(client, workflow=slow(0.3 + n / 100)) for n in range(4)]
        ended = [await fleet.wait_until_ended(client, job["job_id"]) for job in jobs]
    spans = sorted((job["started_at"], job["completed_at"]) for job in ended)
    assert [job["status"] for job in ended] == ["completed"] * 4
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))


@pytest.mark.requirement("tier basic")
@simulated_only
async def test_basic_tier_runs_two_jobs_at_a_time(fleet: Fleet) -> None:
    async with fleet.client(fleet.create_user("double", "basic", graph_policy="open")) as client:
        long = (await fleet.submit(client, workflow=slow(120)))["job_id"]
        await until(partial(is_processing, client, long))
        jobs = [await fleet.submit(client, workflow=slow(0.3 + n / 100)) for n in range(3)]
        ended = [await fleet.wait_until_ended(client, job["job_id"]) for job in jobs]
        await client.delete(f"/jobs/{long}")
        cancelled = await fleet.wait_until_ended(client, long)
    spans = [(job["started_at"], job["completed_at"]) for job in (cancelled, *ended)]
    at_once = [sum(start <= begin < end for start, end in spans) for begin, _ in spans]
    assert [job["status"] for job in ended] == ["completed"] * 3
    assert max(at_once) == 2


@pytest.mark.requirement("limit.refund")
@simulated_only
async def test_failed_job_costs_no_quota(fleet: Fleet) -> None:
    failing = slow(0) | {
        "2": {"class_type": "SimFail", "inputs": {"image": ["1", 0], "message": "boom", "exception_type": "ValueError"}}
    }
    async with fleet.client(fleet.create_user("unlucky", "free", graph_policy="open")) as client:
        first = await client.post("/jobs", json={"workflow": failing})
        assert first.headers["x-quota-remaining"] == "9"
        ended = await fleet.wait_until_ended(client, first.json()["job_id"])
        assert (ended["status"], ended["error"]["code"]) == ("failed", "workflow.execution_failed")
        assert ended["attempt"] == 1
        again = await client.post("/jobs", json={"workflow": slow(0)})
        assert again.headers["x-quota-remaining"] == "9"


@pytest.mark.requirement(
    "F-107", "DELETE /api/v1/jobs/{job_id}", "POST /api/v1/jobs/{job_id}/cancel", "status.cancelled"
)
@simulated_only
async def test_cancelling_a_running_job_interrupts_its_node(fleet: Fleet, client: httpx.AsyncClient) -> None:
    before = {run["prompt_id"] for run in await fleet.list_runs()}
    job = await fleet.submit(client, workflow=slow(60))

    async def is_running() -> bool:
        return await is_processing(client, job["job_id"]) and any(
            run["finished"] is None for run in await fleet.list_runs() if run["prompt_id"] not in before
        )

    await until(is_running)
    for answer in (await client.delete(f"/jobs/{job['job_id']}"), await client.post(f"/jobs/{job['job_id']}/cancel")):
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")

    async def is_interrupted() -> bool:
        return any(run["outcome"] == "interrupted" for run in await fleet.list_runs() if run["prompt_id"] not in before)

    await until(is_interrupted)
    after = await fleet.submit(client, workflow=HELLO)
    assert (await fleet.wait_until_ended(client, after["job_id"]))["status"] == "completed"
