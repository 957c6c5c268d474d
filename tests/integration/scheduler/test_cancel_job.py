"""A cancelled job ends at once; its node becomes free when the executor reports the end."""

import asyncio

import pytest

from chassis.messaging.metadata import Metadata
from contracts.executor.attempts import CANCEL_ATTEMPT, CancelAttempt
from contracts.scheduler.attempts import Outcome
from contracts.scheduler.heartbeats import LeaseState
from contracts.scheduler.jobs import JobState
from tests.integration.scheduler.conftest import World, bus_as, final_states
from tests.kit.calling_bus import REPLY_WITHIN_S
from tests.kit.nats import wait_until_processed


@pytest.mark.requirement("F-107")
async def test_cancelled_queued_job_is_not_charged(world: World) -> None:
    tenant, node = world.add_tenant(images_per_day=5), await world.add_node()
    job_id = await world.submit_job(tenant, images=5)
    job = await world.cancel(tenant, job_id)
    assert (job.state, job.images, job.attempt, job.queue_position) == (JobState.CANCELLED, 0, 0, None)
    assert job.completed_at is not None
    assert await world.list_causes(tenant, job_id) == ["submitted", "cancelled"]
    assert (await world.count_charged_images(tenant), await world.read_counters(tenant)) == (0, (0, 0))
    assert await node.request_work() is None
    await world.submit_job(tenant, images=5)


@pytest.mark.parametrize("started", [False, True])
async def test_cancelled_running_job_keeps_its_slot_until_the_executor_reports_the_end(
    world: World, started: bool
) -> None:
    tenant, node, other = world.add_tenant(max_running=1), await world.add_node(), await world.add_node()
    job_id = await world.submit_job(tenant, images=4)
    waiting = await world.submit_job(tenant)
    given = await node.claim_attempt()
    if started:
        assert await node.start(given.ref)
    hints: asyncio.Queue[CancelAttempt] = asyncio.Queue()
    executor = bus_as(world.system.nats_url, "executor")
    try:
        await executor.start()

        async def on_message(message: CancelAttempt, _: Metadata) -> None:
            hints.put_nowait(message)

        await executor.subscribe(CANCEL_ATTEMPT, on_message, key=node.name)
        await wait_until_processed(executor._client)
        assert (await world.cancel(tenant, job_id)).state is JobState.CANCELLED
        async with asyncio.timeout(REPLY_WITHIN_S):
            assert await hints.get() == CancelAttempt(job_id=job_id, attempt=1)
    finally:
        await executor.stop()
    assert await world.read_counters(tenant) == (1, 1)
    assert await other.request_work() is None  # its slot is not free yet
    assert (await node.send_heartbeat(given.ref)).lease is LeaseState.CANCELLED
    assert not await node.start(given.ref)
    assert await node.request_work() == given.model_copy(update={"renewed": True})  # the node itself is not free either
    assert await node.finish(given.ref, Outcome.CANCELLED, images=1)
    assert not await node.finish(given.ref, Outcome.CANCELLED, images=1)
    assert (await node.send_heartbeat(given.ref)).lease is LeaseState.LOST
    assert await world.count_charged_images(tenant) == 2  # one image was made, one is reserved for the queued job
    ended = await world.read_job(tenant, job_id)
    assert (ended.state, ended.images) == (JobState.CANCELLED, 1)
    assert final_states(await world.list_events(tenant, job_id)) == [JobState.CANCELLED]
    free = await other.claim_attempt()
    assert free.ref.job_id == waiting
    assert await other.finish(free.ref)


@pytest.mark.requirement("F-109")
@pytest.mark.parametrize("outcome", [Outcome.SUCCEEDED, Outcome.FAILED, Outcome.NODE_FAULT])
async def test_cancelled_job_stays_cancelled_whatever_the_outcome_of_its_attempt(
    world: World, outcome: Outcome
) -> None:
    tenant, node = world.add_tenant(), await world.add_node()
    job_id = await world.submit_job(tenant, images=2)
    given = await node.claim_attempt()
    await world.cancel(tenant, job_id)
    assert await node.finish(given.ref, outcome, images=2)
    job = await world.read_job(tenant, job_id)
    assert (job.state, job.outputs) == (JobState.CANCELLED, ())
    assert await world.count_charged_images(tenant) == (2 if outcome is Outcome.SUCCEEDED else 0)
    assert await node.request_work() is None


@pytest.mark.requirement("F-110", "B-50")
@pytest.mark.parametrize("outcome", [Outcome.SUCCEEDED, Outcome.FAILED])
async def test_cancelling_an_ended_job_changes_nothing(world: World, outcome: Outcome) -> None:
    tenant, node = world.add_tenant(), await world.add_node()
    job_id = await world.submit_job(tenant)
    given = await node.claim_attempt()
    assert await node.finish(given.ref, outcome)
    before = await world.database_rows(tenant)
    job = await world.cancel(tenant, job_id)
    assert job.state == outcome.value
    assert await world.database_rows(tenant) == before


@pytest.mark.requirement("F-105")
async def test_concurrent_cancellations_cancel_a_job_once(world: World) -> None:
    tenant = world.add_tenant()
    await world.add_node()
    job_id = await world.submit_job(tenant, images=3)
    jobs = await asyncio.gather(*(world.cancel(tenant, job_id) for _ in range(10)))
    assert {job.state for job in jobs} == {JobState.CANCELLED}
    assert await world.list_causes(tenant, job_id) == ["submitted", "cancelled"]
    assert await world.count_charged_images(tenant) == 0


@pytest.mark.requirement("F-106")
async def test_concurrent_cancel_and_finish_end_a_job_once(world: World) -> None:
    tenant, node = world.add_tenant(), await world.add_node()
    for _ in range(10):
        job_id = await world.submit_job(tenant)
        given = await node.claim_attempt()
        cancelled, finished = await asyncio.gather(world.cancel(tenant, job_id), node.finish(given.ref))
        assert finished
        assert final_states(await world.list_events(tenant, job_id)) == [cancelled.state]
        assert cancelled.state in {JobState.CANCELLED, JobState.SUCCEEDED}
    assert await world.count_charged_images(tenant) == 10  # the images were made in either case
    assert await world.read_counters(tenant) == (0, 0)


@pytest.mark.requirement("F-97")
async def test_job_claimed_during_its_cancellation_ends_cancelled(world: World) -> None:
    tenant, node = world.add_tenant(), await world.add_node()
    for _ in range(10):
        job_id = await world.submit_job(tenant)
        cancelled, given = await asyncio.gather(world.cancel(tenant, job_id), node.request_work())
        assert cancelled.state is JobState.CANCELLED
        if given is not None:
            assert (await node.send_heartbeat(given.ref)).lease is LeaseState.CANCELLED
            assert await node.finish(given.ref, Outcome.CANCELLED)
        assert await node.request_work() is None
    assert await world.count_charged_images(tenant) == 0
