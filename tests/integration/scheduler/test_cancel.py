"""A job ends when its owner says so, whatever it was doing; its node is free once the executor says so."""

import asyncio

import pytest

from chassis.messaging.metadata import Metadata
from contracts.executor.attempts import CANCEL_ATTEMPT, CancelAttempt
from contracts.scheduler.attempts import Outcome
from contracts.scheduler.heartbeats import LeaseState
from contracts.scheduler.jobs import JobState
from tests.integration.scheduler.conftest import World, bus_as, final
from tests.kit.nats import settled


@pytest.mark.requirement("F-107")
async def test_a_queued_job_is_cancelled_at_no_cost(world: World) -> None:
    tenant, node = world.tenant(images_per_day=5), await world.node()
    job_id = await world.job(tenant, images=5)
    job = await world.cancel(tenant, job_id)
    assert (job.state, job.images, job.attempt, job.queue_position) == (JobState.CANCELLED, 0, 0, None)
    assert job.completed_at is not None
    assert await world.causes(tenant, job_id) == ["submitted", "cancelled"]
    assert (await world.images(tenant), await world.counters(tenant)) == (0, (0, 0))
    assert await node.ask() is None
    await world.job(tenant, images=5)


@pytest.mark.parametrize("started", [False, True])
async def test_a_running_job_is_cancelled_at_once_and_holds_its_place_until_the_node_is_free(
    world: World, started: bool
) -> None:
    tenant, node, other = world.tenant(max_running=1), await world.node(), await world.node()
    job_id = await world.job(tenant, images=4)
    waiting = await world.job(tenant)
    given = await node.claim()
    if started:
        assert await node.start(given.ref)
    hints: asyncio.Queue[CancelAttempt] = asyncio.Queue()
    executor = bus_as(world.system.nats_url, "executor")
    try:
        await executor.start()

        async def hear(message: CancelAttempt, _: Metadata) -> None:
            hints.put_nowait(message)

        await executor.subscribe(CANCEL_ATTEMPT, hear, key=node.name)
        await settled(executor._client)
        assert (await world.cancel(tenant, job_id)).state is JobState.CANCELLED
        async with asyncio.timeout(5):
            assert await hints.get() == CancelAttempt(job_id=job_id, attempt=1)
    finally:
        await executor.stop()
    assert await world.counters(tenant) == (1, 1)
    assert await other.ask() is None  # its place is not free yet
    assert (await node.beat(given.ref)).lease is LeaseState.CANCELLED
    assert not await node.start(given.ref)
    assert await node.ask() == given  # the node itself is not free either
    assert await node.finish(given.ref, Outcome.CANCELLED, images=1)
    assert not await node.finish(given.ref, Outcome.CANCELLED, images=1)
    assert (await node.beat(given.ref)).lease is LeaseState.LOST
    assert await world.images(tenant) == 2  # the one that was made, and the one that waits
    ended = await world.read(tenant, job_id)
    assert (ended.state, ended.images) == (JobState.CANCELLED, 1)
    assert final(await world.log(tenant, job_id)) == [JobState.CANCELLED]
    free = await other.claim()
    assert free.ref.job_id == waiting
    assert await other.finish(free.ref)


@pytest.mark.requirement("F-109")
@pytest.mark.parametrize("outcome", [Outcome.SUCCEEDED, Outcome.FAILED, Outcome.NODE_FAULT])
async def test_a_cancelled_job_stays_cancelled_however_its_attempt_ends(world: World, outcome: Outcome) -> None:
    tenant, node = world.tenant(), await world.node()
    job_id = await world.job(tenant, images=2)
    given = await node.claim()
    await world.cancel(tenant, job_id)
    assert await node.finish(given.ref, outcome, images=2)
    job = await world.read(tenant, job_id)
    assert (job.state, job.outputs) == (JobState.CANCELLED, ())
    assert await world.images(tenant) == (2 if outcome is Outcome.SUCCEEDED else 0)
    assert await node.ask() is None


@pytest.mark.requirement("F-110", "B-50")
@pytest.mark.parametrize("outcome", [Outcome.SUCCEEDED, Outcome.FAILED])
async def test_after_its_end_a_job_cannot_be_cancelled(world: World, outcome: Outcome) -> None:
    tenant, node = world.tenant(), await world.node()
    job_id = await world.job(tenant)
    given = await node.claim()
    assert await node.finish(given.ref, outcome)
    before = await world.everything(tenant)
    job = await world.cancel(tenant, job_id)
    assert job.state == outcome.value
    assert await world.everything(tenant) == before


@pytest.mark.requirement("F-105")
async def test_cancelling_many_times_at_once_cancels_once(world: World) -> None:
    tenant = world.tenant()
    await world.node()
    job_id = await world.job(tenant, images=3)
    jobs = await asyncio.gather(*(world.cancel(tenant, job_id) for _ in range(10)))
    assert {job.state for job in jobs} == {JobState.CANCELLED}
    assert await world.causes(tenant, job_id) == ["submitted", "cancelled"]
    assert await world.images(tenant) == 0


@pytest.mark.requirement("F-106")
async def test_cancel_and_finish_at_once_end_it_once(world: World) -> None:
    tenant, node = world.tenant(), await world.node()
    for _ in range(10):
        job_id = await world.job(tenant)
        given = await node.claim()
        cancelled, finished = await asyncio.gather(world.cancel(tenant, job_id), node.finish(given.ref))
        assert finished
        assert final(await world.log(tenant, job_id)) == [cancelled.state]
        assert cancelled.state in {JobState.CANCELLED, JobState.SUCCEEDED}
    assert await world.images(tenant) == 10  # they were made, whoever won
    assert await world.counters(tenant) == (0, 0)


@pytest.mark.requirement("F-97")
async def test_cancel_and_claim_at_once(world: World) -> None:
    tenant, node = world.tenant(), await world.node()
    for _ in range(10):
        job_id = await world.job(tenant)
        cancelled, given = await asyncio.gather(world.cancel(tenant, job_id), node.ask())
        assert cancelled.state is JobState.CANCELLED
        if given is not None:
            assert (await node.beat(given.ref)).lease is LeaseState.CANCELLED
            assert await node.finish(given.ref, Outcome.CANCELLED)
        assert await node.ask() is None
    assert await world.images(tenant) == 0
