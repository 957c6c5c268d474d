"""Synchronous generation and batches on the whole system; the nodes' history and the quota are checked."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import simulated_only
from tests.e2e.test_limits import PICTURE, slow
from tests.kit.fleet import HELLO, Fleet
from tests.kit.paused_nodes import no_job_ends
from tests.kit.retrying_fleet import RetryingTransport
from tests.kit.waiting import until


async def test_generate_returns_a_downloadable_image(fleet: Fleet, client: httpx.AsyncClient) -> None:
    answer = await client.post("/generate", json=PICTURE | {"num_images": 2})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["status"] == "completed"
    assert body["model"]
    assert body["seed"] >= 0
    assert len(body["images"]) == 2
    assert body["image_url"] == f"{fleet.base_url}/api/v1/jobs/{body['job_id']}/result"
    for url in (body["image_url"], *body["images"]):
        picture = await client.get(url)
        assert (picture.status_code, picture.content[:4]) == (200, b"\x89PNG")


@pytest.mark.requirement("POST /api/v1/generate")
@simulated_only
async def test_slow_job_continues_after_generate_returns_202(fleet: Fleet, client: httpx.AsyncClient) -> None:
    async with no_job_ends(fleet):
        answer = await client.post("/generate", json={"workflow": HELLO}, headers={"Prefer": "wait=1"})
        assert (answer.status_code, answer.headers["preference-applied"]) == (202, "wait=1")
    assert (await fleet.wait_until_ended(client, answer.json()["job_id"]))["status"] == "completed"


@pytest.mark.requirement("generate.disconnect")
@simulated_only
async def test_client_disconnect_frees_the_node(fleet: Fleet) -> None:
    before = {run["prompt_id"] for run in await fleet.list_runs()}

    async def outcomes() -> list[str | None]:
        return [run["outcome"] for run in await fleet.list_runs() if run["prompt_id"] not in before]

    async def is_running() -> bool:
        return await outcomes() == [None]

    async def is_interrupted() -> bool:
        return await outcomes() == ["interrupted"]

    # with an idempotency key, a disconnect would not cancel the job
    async with fleet.client(transport=RetryingTransport(with_keys=False)) as leaving:
        waiting = asyncio.create_task(leaving.post("/generate", json={"workflow": slow(60)}))
        await until(is_running)
        waiting.cancel()
        await asyncio.wait({waiting})
        await until(is_interrupted)


@pytest.mark.requirement("body.error")
@simulated_only
async def test_failed_workflow_is_returned_as_a_problem(client: httpx.AsyncClient) -> None:
    failing = slow(0) | {
        "2": {"class_type": "SimFail", "inputs": {"image": ["1", 0], "message": "boom", "exception_type": "ValueError"}}
    }
    answer = await client.post("/generate", json={"workflow": failing})
    assert (answer.status_code, answer.json()["code"]) == (422, "job.failed")
    assert [(error["code"], error["node_id"]) for error in answer.json()["errors"]] == [
        ("workflow.execution_failed", "2")
    ]


@pytest.mark.requirement("limit.own")
@simulated_only
async def test_batch_uses_exactly_the_remaining_quota(fleet: Fleet) -> None:
    async with fleet.client(fleet.create_user("batcher", "basic", graph_policy="open")) as client:
        held = await fleet.submit(client, **PICTURE, num_images=7)  # of 10, to which the quota is set below
        me = (await client.get("/auth/me")).json()
        admin = {"X-API-Key": fleet.credentials["admin_key"]}
        limited = await client.patch(f"/admin/users/{me['id']}", json={"limits": {"images_per_day": 10}}, headers=admin)
        assert limited.status_code == 200, limited.text
        await fleet.wait_until_ended(client, held["job_id"])
        batch = {"jobs": [PICTURE | {"seed": n} for n in range(10)]}
        first = await client.post("/jobs/batch", json=batch, headers={"Idempotency-Key": "ten"})
        assert first.status_code == 200, first.text
        items = first.json()["jobs"]
        assert sorted(item["status"] for item in items) == [201] * 3 + [429] * 7
        assert first.headers["x-quota-remaining"] == "0"
        again = await client.post("/jobs/batch", json=batch, headers={"Idempotency-Key": "ten"})
        assert again.headers["idempotent-replayed"] == "true"
        assert ids(again.json()["jobs"]) == ids(items)
        other = await client.post("/jobs/batch", json={"jobs": [PICTURE]}, headers={"Idempotency-Key": "ten"})
        assert (other.status_code, other.json()["code"]) == (422, "idempotency.key_reused")
        for item in items:
            if item["job"]:
                assert (await fleet.wait_until_ended(client, item["job"]["job_id"]))["status"] == "completed"


@pytest.mark.requirement("POST /api/v1/jobs/batch")
async def test_batch_of_a_hundred_jobs_is_accepted(client: httpx.AsyncClient) -> None:
    answer = await client.post("/jobs/batch", json={"jobs": [{"workflow": HELLO}] * 100})
    assert [item["status"] for item in answer.json()["jobs"]] == [201] * 100
    assert len(set(ids(answer.json()["jobs"]))) == 100
    await asyncio.gather(*[client.delete(f"/jobs/{job_id}") for job_id in ids(answer.json()["jobs"])])


def ids(items: list[dict[str, Any]]) -> list[str | None]:
    return [item["job"] and item["job"]["job_id"] for item in items]
