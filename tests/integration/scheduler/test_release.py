"""A stopping executor releases its attempt; the job runs again, and the released attempt is not charged."""

import asyncio

import asyncpg
import pytest
from structlog.testing import capture_logs

from contracts.scheduler.attempts import CANCEL_WORK_REQUESTS, CancelWorkRequests, Outcome
from contracts.scheduler.jobs import JobState
from scheduler.usecases.dispatch_jobs import MAX_CONCURRENT_CLAIMS
from tests.integration.scheduler.conftest import RARE, World
from tests.kit.waiting import until


@pytest.mark.requirement("O-13")
async def test_released_job_keeps_its_queue_place_and_is_not_charged(world: World) -> None:
    tenant, node, other = world.add_tenant(), await world.add_node(), await world.add_node()
    first, second = await world.submit_job(tenant, images=2), await world.submit_job(tenant)
    vtime = "SELECT vtime FROM tenants WHERE id = $1"
    began = await world.system.sql.fetchval(vtime, tenant)
    for number in range(1, 5):  # more often than a job may be tried
        given = await node.claim_attempt()
        assert (given.ref.job_id, given.ref.attempt) == (first, number)
        assert await node.start(given.ref)
        assert not await other.finish(given.ref, Outcome.RELEASED, error=None)  # the attempt belongs to another node
        assert await node.finish(given.ref, Outcome.RELEASED, error=None)
        assert not await node.finish(given.ref, Outcome.RELEASED, error=None)  # a repeated report
        assert (await world.read_job(tenant, first)).state is JobState.QUEUED
    assert await world.system.sql.fetchval(vtime, tenant) == pytest.approx(began)
    given = await node.claim_attempt()
    assert await node.finish(given.ref, Outcome.NODE_FAULT)  # the first attempt that counts as a try
    given = await node.claim_attempt()
    assert given.ref.job_id == first
    assert await node.finish(given.ref, images=2, gpu_seconds=3.0)
    assert (await world.read_job(tenant, first)).state is JobState.SUCCEEDED
    assert (await world.list_causes(tenant, first))[:5] == ["submitted", "claimed", "started", "requeued", "claimed"]
    given = await node.claim_attempt()
    assert given.ref.job_id == second
    for _ in range(3):
        assert await node.finish(given.ref, Outcome.NODE_FAULT)
        if (await world.read_job(tenant, second)).state is not JobState.FAILED:
            given = await node.claim_attempt()
    assert given.ref.attempt == 3
    assert (await world.read_job(tenant, second)).state is JobState.FAILED
    assert await world.count_charged_images(tenant) == 2


async def test_tenant_of_a_released_job_rejoins_at_the_vtime_of_waiting_tenants(world: World) -> None:
    tenant, other, node = world.add_tenant(), world.add_tenant(), await world.add_node()
    await world.submit_job(tenant)
    given = await node.claim_attempt()
    await world.submit_job(other)
    vtime = "SELECT vtime FROM tenants WHERE id = $1"
    charged = await world.system.sql.fetchval(vtime, tenant)
    await world.system.sql.execute("UPDATE tenants SET vtime = $2 WHERE id = $1", other, charged + 10)
    assert await node.finish(given.ref, Outcome.RELEASED, error=None)
    assert await world.system.sql.fetchval(vtime, tenant) == await world.system.sql.fetchval(vtime, other)
    for _ in range(2):
        assert await node.finish((await node.claim_attempt()).ref)


@pytest.mark.requirement("O-13")
async def test_release_of_a_cancelled_job_ends_its_attempt(world: World) -> None:
    tenant, node = world.add_tenant(), await world.add_node()
    job_id = await world.submit_job(tenant)
    given = await node.claim_attempt()
    await world.cancel(tenant, job_id)
    assert await node.finish(given.ref, Outcome.RELEASED, error=None)
    assert (await world.read_job(tenant, job_id)).state is JobState.CANCELLED
    assert await node.request_work() is None


@pytest.mark.requirement("O-13")
async def test_stopping_executor_gets_its_waiting_request_answered_and_no_job(world: World) -> None:
    tenant, node, other = world.add_tenant(), await world.add_node(), await world.add_node()
    waiting = asyncio.create_task(node.request_work(wait_s=6))

    async def is_answered() -> bool:
        hint = CancelWorkRequests(boot_id=node.boot_id)
        await world.system.bus.publish(CANCEL_WORK_REQUESTS, hint, key=node.name)
        return waiting.done()

    await until(is_answered)
    assert waiting.result() is None
    job_id = await world.submit_job(tenant)
    assert await node.request_work() is None
    given = await other.claim_attempt()
    assert given.ref.job_id == job_id
    assert await other.finish(given.ref)


async def test_queued_prefetch_request_of_a_stopping_executor_gets_no_job(
    world: World, second_sql: asyncpg.Connection
) -> None:
    node, witness = await world.add_node(), await world.add_node(RARE)
    witness.boot_id = node.boot_id
    await world.submit_job(world.add_tenant())
    running = (await node.claim_attempt()).ref
    others = [await world.add_node() for _ in range(MAX_CONCURRENT_CLAIMS)]
    for _ in range(MAX_CONCURRENT_CLAIMS + 1):
        await world.submit_job(world.add_tenant())

    async def are_claims_blocked() -> bool:
        sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return bool(await second_sql.fetchval(sql) == len(others))

    async with second_sql.transaction():
        await second_sql.execute(
            "SELECT 1 FROM nodes WHERE name = ANY($1) FOR UPDATE", [other.name for other in others]
        )
        claims = [asyncio.create_task(other.claim_attempt()) for other in others]
        await until(are_claims_blocked)
        with capture_logs() as lines:
            prefetching = asyncio.create_task(node.request_work(held=running))
            queued = {"event": "scheduler.claim.queued", "node": node.name}
            await until(lambda: any(queued.items() <= line.items() for line in lines))
        waiting = asyncio.create_task(witness.request_work(wait_s=30))

        async def is_answered() -> bool:
            hint = CancelWorkRequests(boot_id=node.boot_id)
            await world.system.bus.publish(CANCEL_WORK_REQUESTS, hint, key=node.name)
            return waiting.done()

        await until(is_answered)
    assert await prefetching is None
    for other, claim in zip(others, claims, strict=True):
        assert await other.finish((await claim).ref)
    given = await others[0].claim_attempt()
    assert await others[0].finish(given.ref)
    assert await node.finish(running)
