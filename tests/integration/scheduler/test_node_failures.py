"""A node on which different jobs fail is cordoned; a job that fails on different nodes is not tried again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest

from contracts.scheduler.attempts import Outcome
from contracts.scheduler.jobs import JobError, JobState
from contracts.scheduler.nodes import NodeAction, NodeStatus
from tests.integration.scheduler.conftest import Node, World, run_system
from tests.integration.scheduler.operator import Operator
from tests.kit.nats import running_nats
from tests.kit.postgres import PostgresServer
from tests.kit.waiting import until

BROKEN_DEVICE: dict[str, Any] = {
    "error": JobError(code="node.fault", message="The node's device failed."),
    "node_failed": True,
    "gpu_seconds": 1.0,
}


async def fail_jobs(world: World, node: Node, tenants: list[UUID], **fields: Any) -> list[UUID]:
    """Submit a job of each tenant and fail it on the node, so that it is queued again; return the jobs."""
    jobs = []
    for tenant in tenants:
        jobs.append(await world.submit_job(tenant, priority=50, **fields))
        given = await node.claim_attempt()
        assert given.ref.job_id == jobs[-1]
        assert await node.finish(given.ref, Outcome.NODE_FAULT, **BROKEN_DEVICE)
    return jobs


async def complete(world: World, node: Node, tenant: UUID, **fields: Any) -> None:
    """Submit a job and complete it on the node."""
    job_id = await world.submit_job(tenant, priority=100, **fields)
    given = await node.claim_attempt()
    assert given.ref.job_id == job_id
    assert await node.finish(given.ref)


async def status_of(world: World, node: Node) -> NodeStatus:
    return (await Operator(world.system.bus).nodes())[node.name]


@pytest.mark.requirement("F-45", "table scheduler.node_failures")
async def test_node_that_fails_jobs_of_different_tenants_in_a_row_is_cordoned(world: World) -> None:
    fields = {"model": "failing.safetensors"}
    node, other = [await world.add_node(fields["model"]) for _ in range(2)]
    await world.until_offered(fields["model"])
    tenants = [world.add_tenant() for _ in range(2)]
    await fail_jobs(world, node, tenants, **fields)
    await complete(world, node, tenants[0], **fields)
    await fail_jobs(world, node, tenants, **fields)
    assert (await status_of(world, node)).cordoned_at is None  # only two failures since it completed a job
    given = await other.claim_attempt()  # the jobs go to another node
    assert await other.finish(given.ref)
    last = await fail_jobs(world, node, [tenants[1]], **fields)
    status = await status_of(world, node)
    assert status.cordoned_at is not None
    assert status.cordon_reason is not None
    assert "3 different jobs" in status.cordon_reason
    assert await node.request_work() is None

    async def is_completed_elsewhere() -> bool:
        while taken := await other.request_work():
            assert await other.finish(taken.ref)
        return (await world.read_job(tenants[1], last[0])).state is JobState.SUCCEEDED

    await until(is_completed_elsewhere)
    await Operator(world.system.bus).node(node.name, NodeAction.UNCORDON)
    assert (await status_of(world, node)).cordon_reason is None
    await fail_jobs(world, node, tenants, **fields)  # earlier failures no longer count
    assert (await status_of(world, node)).cordoned_at is None
    while taken := await other.request_work():
        assert await other.finish(taken.ref)


@pytest.mark.requirement("F-45")
async def test_failures_of_a_forgotten_node_do_not_count_once_it_joins_again(world: World) -> None:
    fields = {"model": "replaced.safetensors"}
    node, other = [await world.add_node(fields["model"]) for _ in range(2)]
    await world.until_offered(fields["model"])
    tenants = [world.add_tenant() for _ in range(2)]
    await fail_jobs(world, node, tenants, **fields)
    await world.system.sql.execute("UPDATE nodes SET seen_at = now() - interval '1 day' WHERE name = $1", node.name)
    await Operator(world.system.bus).node(node.name, NodeAction.FORGET)
    await node.join()
    await fail_jobs(world, node, [tenants[0]], **fields)
    assert (await status_of(world, node)).cordoned_at is None
    while taken := await other.request_work():
        assert await other.finish(taken.ref)


@pytest.mark.requirement("F-45")
async def test_one_tenant_cannot_cordon_a_node_unless_its_jobs_succeed_elsewhere(world: World) -> None:
    fields = {"model": "hostile.safetensors"}
    node, other = [await world.add_node(fields["model"]) for _ in range(2)]
    await world.until_offered(fields["model"])
    tenant = world.add_tenant()
    await fail_jobs(world, node, [tenant] * 4, **fields)
    assert (await status_of(world, node)).cordoned_at is None
    for _ in range(2):
        given = await other.claim_attempt()
        assert await other.finish(given.ref)
    assert (await status_of(world, node)).cordoned_at is None
    given = await other.claim_attempt()
    assert await other.finish(given.ref)
    assert (await status_of(world, node)).cordon_reason is not None
    given = await other.claim_attempt()
    assert await other.finish(given.ref)


@pytest.mark.requirement("F-45")
async def test_job_that_fails_on_two_nodes_is_not_retried(world: World) -> None:
    fields = {"model": "breaking.safetensors"}
    nodes = [await world.add_node(fields["model"]) for _ in range(3)]
    await world.until_offered(fields["model"])
    tenant = world.add_tenant()
    (job_id,) = await fail_jobs(world, nodes[0], [tenant], **fields)
    assert await nodes[0].request_work() is None  # the job avoids the node on which it failed
    given = await nodes[1].claim_attempt()
    assert await nodes[1].finish(given.ref, Outcome.NODE_FAULT, **BROKEN_DEVICE)
    job = await world.read_job(tenant, job_id)
    assert job.error is not None
    assert (job.state, job.error.code, job.attempt, job.images) == (JobState.FAILED, "job.poison", 2, 0)
    assert await nodes[2].request_work() is None


@asynccontextmanager
async def run_world(postgres_server: PostgresServer, *, cordon_after_jobs: int) -> AsyncIterator[World]:
    """Run a scheduler of its own with this setting."""
    async with running_nats() as server:
        database = await postgres_server.create_database("scheduler")
        async with run_system(server.url, database, lease_s=60, cordon_after_jobs=cordon_after_jobs) as system:
            yield World(system)


@pytest.mark.requirement("setting CORDON_AFTER_JOBS")
async def test_node_is_cordoned_after_more_than_a_hundred_jobs_if_the_setting_says_so(
    postgres_server: PostgresServer,
) -> None:
    async with run_world(postgres_server, cordon_after_jobs=101) as world:
        node, tenants = await world.add_node(), [world.add_tenant() for _ in range(2)]
        await asyncio.gather(*(world.submit_job(tenants[number % 2]) for number in range(101)))
        for _ in range(101):
            assert (await status_of(world, node)).cordoned_at is None
            given = await node.claim_attempt()
            assert await node.finish(given.ref, Outcome.NODE_FAULT, **BROKEN_DEVICE)
        assert (await status_of(world, node)).cordoned_at is not None


@pytest.mark.requirement("setting CORDON_AFTER_JOBS")
async def test_setting_zero_disables_automatic_cordoning(postgres_server: PostgresServer) -> None:
    async with run_world(postgres_server, cordon_after_jobs=0) as world:
        node, tenants = await world.add_node(), [world.add_tenant() for _ in range(4)]
        for tenant in tenants:
            await world.submit_job(tenant)
            given = await node.claim_attempt()
            assert await node.finish(given.ref, Outcome.NODE_FAULT, **BROKEN_DEVICE)
        assert (await status_of(world, node)).cordoned_at is None
