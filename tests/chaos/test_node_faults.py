"""Faults of nodes and jobs waste little GPU time: the job runs on another node, and a faulty node gets no more jobs."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import httpx
import pytest

from tests.chaos.conftest import attempts_of, graph
from tests.kit.fleet import Fleet, is_processing
from tests.kit.http import http_client
from tests.kit.paused_nodes import run_node_action
from tests.kit.waiting import until

pytestmark = pytest.mark.chaos

NODES = ("node-1", "node-2", "node-3")


def sleep(color: int, seconds: float) -> dict[str, Any]:
    return graph("SimSleep", color, seconds=seconds)


async def read_nodes(admin: httpx.AsyncClient) -> dict[str, dict[str, Any]]:
    return {node["node"]: node for node in (await admin.get("/admin/nodes")).json()["nodes"]}


async def repair(fleet: Fleet, admin: httpx.AsyncClient, *nodes: str) -> None:
    """Restart nodes whose device is broken, and wait until they report their GPU again."""
    for node in nodes:
        await fleet.wait_until_replaced(node, fleet.kill(node))

    async def are_repaired() -> bool:
        known = await read_nodes(admin)
        return all(known[node]["online"] and known[node]["gpus"] for node in nodes)

    await until(are_repaired, within_s=40)


async def set_gpu(fleet: Fleet, admin: httpx.AsyncClient, node: str, gib: int) -> None:
    """Set the GPU memory of a node, and wait until its executor has reported it."""
    async with http_client(timeout=20) as http:
        answer = await http.post(f"{fleet.nodes[NODES.index(node)]}/simnode/gpu", json={"gib": gib})
    assert answer.status_code == 200

    async def is_reported() -> bool:
        gpus = (await read_nodes(admin))[node]["gpus"]
        return bool(gpus and gpus[0]["memory_total_bytes"] == gib * 2**30)

    await until(is_reported, within_s=40)


@pytest.fixture(autouse=True)
async def uncordoned(three_nodes: Fleet) -> AsyncIterator[None]:
    """Let every node take jobs again at the end of a test, so that its failure does not spread to others."""
    yield
    async with three_nodes.client(three_nodes.credentials["admin_key"]) as admin:
        await run_node_action(admin, "uncordon", *NODES)


@pytest.mark.requirement("F-44")
async def test_job_out_of_memory_runs_on_the_node_with_the_larger_gpu(three_nodes: Fleet) -> None:
    fleet, key = three_nodes, three_nodes.create_user("largejob", "enterprise")
    async with fleet.client(key) as client, fleet.client(fleet.credentials["admin_key"]) as admin:
        await set_gpu(fleet, admin, "node-3", 48)
        await run_node_action(admin, "cordon", "node-1", "node-2")
        slow = (await fleet.submit(client, workflow=sleep(1, 8)))["job_id"]
        await until(partial(is_processing, client, slow))
        await run_node_action(admin, "uncordon", "node-1", "node-2")
        before = [await fleet.count_fault_occurrences("oom", node) for node in (0, 1)]
        for node in (0, 1):
            await fleet.arm_fault("oom", node)
        job_id = (await fleet.submit(client, workflow=sleep(2, 0)))["job_id"]
        job = await fleet.wait_until_ended(client, job_id)
        assert (job["status"], job["attempt"]) == ("completed", 2)
        first, second = await attempts_of(fleet, job_id)
        assert (first["node"] in {"node-1", "node-2"}, first["code"]) == (True, "node.out_of_memory")
        assert (second["node"], second["code"]) == ("node-3", None)
        fired = [await fleet.count_fault_occurrences("oom", node) for node in (0, 1)]
        assert sum(fired) - sum(before) == 1
        assert (await fleet.wait_until_ended(client, slow))["status"] == "completed"
    async with http_client(timeout=20) as http:
        for url in fleet.nodes[:2]:
            await http.delete(f"{url}/simnode/faults", params={"name": "oom"})


@pytest.mark.requirement("F-45")
async def test_job_that_fails_on_two_nodes_is_not_retried_and_a_repeatedly_failing_node_is_cordoned(
    three_nodes: Fleet,
) -> None:
    fleet = three_nodes
    keys = [fleet.create_user(f"faulty{number}", "enterprise") for number in range(3)]
    async with fleet.client(fleet.credentials["admin_key"]) as admin, fleet.client(keys[0]) as client:
        for node in (0, 1):
            await fleet.arm_fault("poisoned", node)
        await run_node_action(admin, "cordon", "node-3")
        job_id = (await fleet.submit(client, workflow=sleep(3, 0)))["job_id"]
        job = await fleet.wait_until_ended(client, job_id)
        assert (job["status"], job["error"]["code"], job["attempt"]) == ("failed", "job.poison", 2)
        assert {one["node"] for one in await attempts_of(fleet, job_id)} == {"node-1", "node-2"}
        await repair(fleet, admin, "node-2")
        await run_node_action(admin, "uncordon", "node-3")
        jobs: list[tuple[str, str]] = []

        async def is_cordoned() -> bool:
            for key in keys:  # other nodes claim most of the jobs
                async with fleet.client(key) as owner:
                    submitted = await fleet.submit(owner, workflow=sleep(100 + len(jobs), 0.3))
                jobs.append((key, submitted["job_id"]))
            return (await read_nodes(admin))["node-1"]["cordon_reason"] is not None

        await until(is_cordoned, within_s=60)
        for key, other in jobs:
            async with fleet.client(key) as owner:
                assert (await fleet.wait_until_ended(owner, other))["status"] == "completed"
        assert await fleet.count_fault_occurrences("poisoned", 0) >= 3
        known = await read_nodes(admin)
        assert [known[node]["state"] == "cordoned" for node in NODES] == [True, False, False]
        await repair(fleet, admin, "node-1")
        await run_node_action(admin, "uncordon", "node-1")
        assert (await read_nodes(admin))["node-1"]["cordon_reason"] is None


@pytest.mark.requirement("limit.start", "submission.run-within")
async def test_time_limits_of_a_user_end_waiting_and_running_jobs(three_nodes: Fleet) -> None:
    fleet = three_nodes
    keys = [fleet.create_user(name, "pro", graph_policy="open") for name in ("limitedrun", "limitedwait")]
    async with (
        fleet.client(keys[0]) as client,
        fleet.client(keys[1]) as waiter,
        fleet.client(fleet.credentials["admin_key"]) as admin,
    ):
        # before their first jobs, because services remember the limits of a user for a moment
        for user, limits in ((client, {"run_seconds": 5}), (waiter, {"start_seconds": 2})):
            fleet.set_limits((await user.get("/auth/me")).json()["id"], graph_policy="open", **limits)
            assert (await user.get("/auth/me")).json()["limits"].items() >= limits.items()
        await run_node_action(admin, "cordon", "node-2", "node-3")
        running = (await fleet.submit(client, workflow=sleep(4, 60)))["job_id"]
        job = await fleet.wait_until_ended(client, running)
        assert (job["status"], job["error"]["code"]) == ("failed", "job.run_time_exceeded")
        following = (await fleet.submit(client, workflow=sleep(5, 0)))["job_id"]
        assert (await fleet.wait_until_ended(client, following))["status"] == "completed"
        assert {one["node"] for one in await attempts_of(fleet, following)} == {"node-1"}
        await run_node_action(admin, "cordon", "node-1")
        waiting = (await fleet.submit(waiter, workflow=sleep(6, 0)))["job_id"]
        job = await fleet.wait_until_ended(waiter, waiting)
        assert (job["status"], job["error"]["code"], job["attempt"]) == ("failed", "job.start_time_passed", 0)
        for user, images in ((client, 1), (waiter, 0)):  # charged for the completed job only
            assert sum(day["images"] for day in (await user.get("/usage")).json()["usage"]) == images
