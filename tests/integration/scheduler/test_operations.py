"""Operators' hands on nodes and jobs: what they order holds, costs nobody anything, and happens once."""

import asyncio
from uuid import UUID, uuid4

import asyncpg
import pytest

from chassis.messaging.metadata import Metadata
from contracts.executor.attempts import CANCEL_ATTEMPT, CancelAttempt
from contracts.scheduler.attempts import Outcome
from contracts.scheduler.heartbeats import LeaseState
from contracts.scheduler.job_actions import JobAction
from contracts.scheduler.jobs import JOB_CHANGED_LIVE, JobEvent, JobState
from contracts.scheduler.nodes import NodeAction
from contracts.wire.errors import Relayed
from tests.integration.scheduler.conftest import World, bus_as, graph
from tests.integration.scheduler.operator import Operator
from tests.kit.nats import settled
from tests.kit.waiting import until


@pytest.fixture
def operator(world: World) -> Operator:
    return Operator(world.system.bus)


async def test_a_cordoned_node_ends_what_it_has_and_gets_nothing_while_another_works(
    world: World, operator: Operator
) -> None:
    tenant, node, other = world.tenant(), await world.node(), await world.node()
    jobs = [await world.job(tenant) for _ in range(3)]
    first = await node.claim()
    cordoned = await operator.node(node.name, NodeAction.CORDON)
    assert cordoned is not None
    assert cordoned.cordoned_at is not None
    assert (cordoned.job_id, cordoned.attempt, cordoned.drain_at) == (jobs[0], 1, None)
    assert await node.ask() == first  # what it has it keeps
    assert (await node.beat(first.ref)).lease is LeaseState.KEPT
    assert await node.finish(first.ref)
    assert await node.ask() is None
    await node.join()  # a beat does not lift it, nor does a restart
    assert await node.ask() is None
    second = await other.claim()
    assert second.ref.job_id == jobs[1]
    assert await other.finish(second.ref)
    kept = asyncio.create_task(node.claim())  # an ask that is kept is answered once the node may work again
    await operator.node(node.name, NodeAction.UNCORDON)
    assert (await kept).ref.job_id == jobs[2]
    assert await node.finish((await kept).ref)
    assert (await operator.nodes())[node.name].cordoned_at is None


@pytest.mark.requirement("F-25")
async def test_a_drained_node_loses_its_job_to_another_and_nobody_pays_for_it(world: World, operator: Operator) -> None:
    tenant, node, other = world.tenant(images_per_day=3), await world.node(), await world.node()
    job_id = await world.job(tenant, images=3)
    given = await node.claim()
    assert await node.start(given.ref)
    hints: asyncio.Queue[CancelAttempt] = asyncio.Queue()
    executor = bus_as(world.system.nats_url, "executor")
    try:
        await executor.start()

        async def hear(message: CancelAttempt, _: Metadata) -> None:
            hints.put_nowait(message)

        await executor.subscribe(CANCEL_ATTEMPT, hear, key=node.name)
        await settled(executor._client)
        drained = await operator.node(node.name, NodeAction.DRAIN)
        async with asyncio.timeout(5):
            assert await hints.get() == CancelAttempt(job_id=job_id, attempt=1)
    finally:
        await executor.stop()
    assert drained is not None
    assert drained.job_id is None
    assert (await node.beat(given.ref)).lease is LeaseState.LOST
    assert not await node.finish(given.ref, images=3, gpu_seconds=9.0)
    assert await node.ask() is None
    again = await other.claim()
    assert (again.ref.job_id, again.ref.attempt) == (job_id, 2)
    assert await other.start(again.ref)
    assert await other.finish(again.ref, images=3, gpu_seconds=2.0)
    assert await world.causes(tenant, job_id) == [
        "submitted", "claimed", "started", "requeued", "claimed", "started", "succeeded",
    ]  # fmt: skip
    (day,) = await operator.usage(tenant)
    assert (day.jobs, day.images, day.gpu_seconds) == (1, 3, 2.0)
    first, second = (await operator.inspect(job_id)).attempts
    assert (first.node, first.outcome, first.gpu_seconds) == (node.name, "withdrawn", 0)
    assert (second.node, second.outcome, second.gpu_seconds) == (other.name, "succeeded", 2.0)


@pytest.mark.requirement("F-25")
async def test_a_drain_with_grace_lets_the_job_go_on_until_then(world: World, operator: Operator) -> None:
    tenant, node = world.tenant(), await world.node()
    job_id = await world.job(tenant)
    given = await node.claim()
    drained = await operator.node(node.name, NodeAction.DRAIN, grace_s=3600)
    assert drained is not None
    assert drained.drain_at is not None
    assert (drained.job_id, (await node.beat(given.ref)).lease) == (job_id, LeaseState.KEPT)
    await operator.node(node.name, NodeAction.DRAIN, grace_s=7200)  # never later than it was said
    assert (await operator.nodes())[node.name].drain_at == drained.drain_at
    await operator.node(node.name, NodeAction.UNCORDON)  # and not at all, once it is taken back
    assert (await operator.nodes())[node.name].drain_at is None
    await operator.node(node.name, NodeAction.DRAIN, grace_s=3600)
    await world.system.sql.execute("UPDATE nodes SET drain_at = now() WHERE name = $1", node.name)

    async def lost() -> bool:
        return (await node.beat(given.ref)).lease is LeaseState.LOST

    await until(lost)
    assert (await world.read(tenant, job_id)).state is JobState.QUEUED


async def test_what_operators_end_is_no_try_of_the_job(world: World, operator: Operator) -> None:
    tenant, node = world.tenant(), await world.node()
    job_id = await world.job(tenant)
    for _ in range(3):
        await node.claim()
        assert (await operator.job(job_id, JobAction.REQUEUE)).state is JobState.QUEUED
    for number in range(3):
        given = await node.claim()
        assert given.ref.attempt == 4 + number
        assert await node.finish(given.ref, Outcome.NODE_FAULT, gpu_seconds=1.5)
    assert (await world.read(tenant, job_id)).state is JobState.FAILED
    (day,) = await operator.usage(tenant)
    assert (day.images, day.gpu_seconds) == (0, 4.5)


async def test_a_cancelled_job_is_left_to_the_executor_that_stops_it(world: World, operator: Operator) -> None:
    tenant, node = world.tenant(), await world.node()
    job_id = await world.job(tenant, images=2)
    given = await node.claim()
    await world.cancel(tenant, job_id)
    await operator.node(node.name, NodeAction.DRAIN)
    assert (await node.beat(given.ref)).lease is LeaseState.CANCELLED
    assert await node.finish(given.ref, Outcome.CANCELLED, images=1, gpu_seconds=0.5)
    (day,) = await operator.usage(tenant)
    assert (day.images, day.gpu_seconds) == (1, 0.5)


async def test_a_job_that_is_cancelled_while_it_is_requeued_stays_cancelled(
    world: World, operator: Operator, second_sql: asyncpg.Connection
) -> None:
    """A third party holds the tenant, so that the cancellation is before the withdrawal in the line for it."""
    tenant, node = world.tenant(), await world.node()
    job_id = await world.job(tenant, images=2)
    given = await node.claim()

    async def waiting(number: int) -> bool:
        sql = """SELECT count(*) FROM pg_stat_activity
            WHERE application_name = 'scheduler' AND datname = current_database() AND wait_event_type = 'Lock'"""
        found: int = await world.system.sql.fetchval(sql)
        return found == number

    locked = second_sql.transaction()
    await locked.start()
    await second_sql.execute("SELECT 1 FROM tenants WHERE id = $1 FOR UPDATE", tenant)
    cancelling = asyncio.create_task(world.cancel(tenant, job_id))
    await until(lambda: waiting(1))
    requeueing = asyncio.create_task(operator.job(job_id, JobAction.REQUEUE))
    await until(lambda: waiting(2))
    await locked.rollback()
    assert [job.state for job in await asyncio.gather(cancelling, requeueing)] == [JobState.CANCELLED] * 2
    assert (await node.beat(given.ref)).lease is LeaseState.CANCELLED
    assert await node.finish(given.ref, Outcome.CANCELLED, images=1)
    assert await world.images(tenant) == 1


async def test_drain_claim_and_finish_at_once_end_each_attempt_once(world: World, operator: Operator) -> None:
    tenant, node, other = world.tenant(), await world.node(), await world.node()
    for _ in range(10):
        job_id = await world.job(tenant)
        given = await node.claim()
        _, finished, again = await asyncio.gather(
            operator.node(node.name, NodeAction.DRAIN), node.finish(given.ref), other.ask(wait_s=0)
        )
        await operator.node(node.name, NodeAction.UNCORDON)
        state = (await world.read(tenant, job_id)).state
        assert finished == (state is JobState.SUCCEEDED)
        again = again or (None if finished else await other.claim())
        assert (again is None) == finished
        if again is not None:
            assert await other.finish(again.ref)
    (day,) = await operator.usage(tenant)
    assert (day.jobs, day.images, day.gpu_seconds) == (10, 10, 10.0)


@pytest.mark.requirement("DELETE /api/v1/admin/nodes/{node}")
async def test_a_node_is_forgotten_only_when_it_is_gone(world: World, operator: Operator) -> None:
    node = await world.node()
    with pytest.raises(Relayed) as relayed:
        await operator.node(node.name, NodeAction.FORGET)
    assert relayed.value.refused.code == "node.alive"
    tenant = world.tenant()
    await world.job(tenant)
    given = await node.claim()
    await world.system.sql.execute("UPDATE nodes SET seen_at = now() - interval '1 day' WHERE name = $1", node.name)
    with pytest.raises(Relayed) as relayed:
        await operator.node(node.name, NodeAction.FORGET)
    assert relayed.value.refused.code == "node.alive"
    assert await node.finish(given.ref)
    assert not (await operator.nodes())[node.name].online
    assert await operator.node(node.name, NodeAction.FORGET) is None
    assert node.name not in await operator.nodes()
    for order in NodeAction:
        with pytest.raises(Relayed) as relayed:
            await operator.node(node.name, order)
        assert relayed.value.refused.code == "node.not_found"
    await node.join()  # one that comes back is new
    assert (await operator.nodes())[node.name].online


async def test_a_job_on_hold_is_not_run_until_it_is_released(world: World, operator: Operator) -> None:
    tenant, node = world.tenant(queue_cap=2), await world.node()
    job_id, behind = await world.job(tenant), await world.job(tenant)
    said: list[str] = []

    async def hear(message: JobEvent, _: Metadata) -> None:
        said.append(message.cause)

    hear_no_more = await world.system.bus.subscribe(JOB_CHANGED_LIVE, hear, tenant=str(tenant), key=str(job_id))
    await settled(world.system.bus._client)
    held = await operator.job(job_id, JobAction.HOLD)
    assert (held.held, held.state, held.queue_position) == (True, JobState.QUEUED, None)
    assert (await world.read(tenant, behind)).queue_position == 1
    assert (await operator.job(job_id, JobAction.HOLD)).seq == held.seq
    await world.job(tenant)  # one on hold takes no place in the queue
    assert (await world.counters(tenant)) == (2, 0)
    for _ in range(2):
        given = await node.claim()
        assert given.ref.job_id != job_id
        assert await node.finish(given.ref)
    kept = asyncio.create_task(node.claim())
    assert not (await operator.job(job_id, JobAction.RELEASE)).held
    assert (await kept).ref.job_id == job_id
    with pytest.raises(Relayed) as relayed:
        await operator.job(job_id, JobAction.HOLD)
    assert relayed.value.refused.code == "job.not_waiting"
    assert await node.finish((await kept).ref)
    assert await world.causes(tenant, job_id) == ["submitted", "held", "released", "claimed", "succeeded"]
    # Whoever watches it knows at once; by their ``seq`` in which order, for two of them may overtake each other.
    await until(lambda: sorted(said) == sorted(["held", "released", "claimed", "succeeded"]))
    await hear_no_more()
    for order in (JobAction.HOLD, JobAction.RELEASE, JobAction.PRIORITISE):
        with pytest.raises(Relayed) as relayed:
            await operator.job(job_id, order, priority=1)
        assert relayed.value.refused.code == "job.ended"


async def test_a_job_on_hold_is_cancelled_at_no_cost(world: World, operator: Operator) -> None:
    tenant = world.tenant()
    await world.node()
    job_id = await world.job(tenant, images=2)
    await operator.job(job_id, JobAction.HOLD)
    job = await operator.job(job_id, JobAction.CANCEL)
    assert (job.state, job.held, job.images) == (JobState.CANCELLED, False, 0)
    assert (await world.images(tenant), await world.counters(tenant)) == (0, (0, 0))


@pytest.mark.requirement("F-100")
async def test_hold_release_claim_and_cancel_at_once_keep_the_books(world: World, operator: Operator) -> None:
    tenant, node = world.tenant(), await world.node()

    async def try_to(job_id: UUID, order: JobAction) -> str | None:
        try:
            await operator.job(job_id, order)
        except Relayed as relayed:
            return relayed.refused.code
        return None

    for _ in range(10):
        job_id = await world.job(tenant)
        orders = (JobAction.HOLD, JobAction.RELEASE, JobAction.HOLD, JobAction.REQUEUE, JobAction.CANCEL)
        ordered = asyncio.gather(*(try_to(job_id, order) for order in orders))
        given, refused = await asyncio.gather(node.ask(), ordered)
        assert set(refused) <= {None, "job.not_waiting", "job.ended", "job.not_repeatable"}
        if given is not None:
            await node.finish(given.ref, Outcome.CANCELLED)
        assert (await world.read(tenant, job_id)).state is JobState.CANCELLED
        assert await world.counters(tenant) == (0, 0)
    assert await world.images(tenant) == 0


async def test_priority_changes_what_runs_next(world: World, operator: Operator) -> None:
    tenant, node = world.tenant(), await world.node()
    jobs = [await world.job(tenant) for _ in range(3)]
    assert (await operator.job(jobs[2], JobAction.PRIORITISE, priority=10)).queue_position == 1
    assert (await operator.job(jobs[0], JobAction.PRIORITISE, priority=-10)).queue_position == 3
    order = []
    for _ in jobs:
        given = await node.claim()
        order.append(given.ref.job_id)
        assert await node.finish(given.ref)
    assert order == [jobs[2], jobs[1], jobs[0]]


async def test_a_failed_job_runs_again_as_one_new_job_under_its_owners_limits(world: World, operator: Operator) -> None:
    tenant, node = world.tenant(images_per_day=4), await world.node()
    sent = graph(images=2)
    sent["3"]["inputs"]["seed"] = -1
    extra = {"extra_pnginfo": {"workflow": {"id": "é"}}}
    fields = {"priority": 7, "labels": {"a": "b"}, "workflow": "w", "run_within_seconds": 9, "extra_data": extra}
    job_id = await world.job(tenant, graph=sent, **fields)
    drawn = (await world.read(tenant, job_id)).seeds
    given = await node.claim()
    assert given.extra_data == extra
    assert (await node.claim()).extra_data == extra, "asked again, it is the same attempt"
    assert await node.finish(given.ref, Outcome.FAILED)
    again = await asyncio.gather(*(operator.job(job_id, JobAction.REQUEUE) for _ in range(5)))
    assert len({job.job_id for job in again}) == 1
    new = again[0]
    assert new.job_id != job_id
    assert (new.retry_of, new.priority, new.labels, new.workflow, new.images) == (job_id, 7, {"a": "b"}, "w", 2)
    assert (new.seeds, new.seed, [seed.node_id for seed in new.seeds]) == (drawn, drawn[0].seed, ["3"])
    assert (await world.read(tenant, job_id)).state is JobState.FAILED
    second = await node.claim()
    assert (second.ref.job_id, second.graph, second.run_within_s) == (new.job_id, given.graph, 9)
    assert second.extra_data == extra
    assert await node.finish(second.ref, images=2)
    with pytest.raises(Relayed) as relayed:
        await operator.job(new.job_id, JobAction.REQUEUE)
    assert relayed.value.refused.code == "job.not_repeatable"
    failed = await world.job(tenant)
    given = await node.claim()
    assert await node.finish(given.ref, Outcome.FAILED)
    world.limit(tenant, images_per_day=2)
    with pytest.raises(Relayed) as relayed:
        await operator.job(failed, JobAction.REQUEUE)
    assert relayed.value.refused.code == "quota.images_exceeded"


async def test_nobody_orders_a_job_that_is_not_there(world: World, operator: Operator) -> None:
    await world.node()
    for order in JobAction:
        with pytest.raises(Relayed) as relayed:
            await operator.job(uuid4(), order, priority=1)
        assert relayed.value.refused.code == "job.not_found"
