"""Actions of operators on nodes and jobs."""

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
from contracts.wire.errors import RelayedRefusal
from tests.integration.scheduler.conftest import World, build_graph, bus_as
from tests.integration.scheduler.operator import Operator
from tests.kit.calling_bus import REPLY_WITHIN_S
from tests.kit.nats import wait_until_processed
from tests.kit.waiting import until


@pytest.fixture
def operator(world: World) -> Operator:
    return Operator(world.system.bus)


async def test_cordoned_node_finishes_its_job_and_gets_no_new_one(world: World, operator: Operator) -> None:
    tenant, node, other = world.add_tenant(), await world.add_node(), await world.add_node()
    jobs = [await world.submit_job(tenant) for _ in range(3)]
    first = await node.claim_attempt()
    cordoned = await operator.node(node.name, NodeAction.CORDON)
    assert cordoned is not None
    assert cordoned.cordoned_at is not None
    assert (cordoned.job_id, cordoned.attempt, cordoned.drain_at) == (jobs[0], 1, None)
    assert await node.request_work() == first.model_copy(update={"renewed": True})  # a cordoned node keeps its attempt
    assert (await node.send_heartbeat(first.ref)).lease is LeaseState.KEPT
    assert await node.finish(first.ref)
    assert await node.request_work() is None
    await node.join()  # neither a heartbeat nor a restart uncordons it
    assert await node.request_work() is None
    second = await other.claim_attempt()
    assert second.ref.job_id == jobs[1]
    assert await other.finish(second.ref)
    kept = asyncio.create_task(node.claim_attempt())  # the waiting request is answered after the uncordon
    await operator.node(node.name, NodeAction.UNCORDON)
    assert (await kept).ref.job_id == jobs[2]
    assert await node.finish((await kept).ref)
    assert (await operator.nodes())[node.name].cordoned_at is None


@pytest.mark.requirement("F-25")
async def test_job_of_a_drained_node_moves_to_another_node_free_of_charge(world: World, operator: Operator) -> None:
    tenant, node, other = world.add_tenant(images_per_day=3), await world.add_node(), await world.add_node()
    job_id = await world.submit_job(tenant, images=3)
    given = await node.claim_attempt()
    assert await node.start(given.ref)
    hints: asyncio.Queue[CancelAttempt] = asyncio.Queue()
    executor = bus_as(world.system.nats_url, "executor")
    try:
        await executor.start()

        async def on_message(message: CancelAttempt, _: Metadata) -> None:
            hints.put_nowait(message)

        await executor.subscribe(CANCEL_ATTEMPT, on_message, key=node.name)
        await wait_until_processed(executor._client)
        drained = await operator.node(node.name, NodeAction.DRAIN)
        async with asyncio.timeout(REPLY_WITHIN_S):
            assert await hints.get() == CancelAttempt(job_id=job_id, attempt=1)
    finally:
        await executor.stop()
    assert drained is not None
    assert drained.job_id is None
    assert (await node.send_heartbeat(given.ref)).lease is LeaseState.LOST
    assert not await node.finish(given.ref, images=3, gpu_seconds=9.0)
    assert await node.request_work() is None
    again = await other.claim_attempt()
    assert (again.ref.job_id, again.ref.attempt) == (job_id, 2)
    assert await other.start(again.ref)
    assert await other.finish(again.ref, images=3, gpu_seconds=2.0)
    assert await world.list_causes(tenant, job_id) == [
        "submitted", "claimed", "started", "requeued", "claimed", "started", "succeeded",
    ]  # fmt: skip
    (day,) = await operator.usage(tenant)
    assert (day.jobs, day.images, day.gpu_seconds) == (1, 3, 2.0)
    first, second = (await operator.inspect(job_id)).attempts
    assert (first.node, first.outcome, first.gpu_seconds) == (node.name, "withdrawn", 0)
    assert (second.node, second.outcome, second.gpu_seconds) == (other.name, "succeeded", 2.0)


@pytest.mark.requirement("F-25")
async def test_drain_withdraws_the_job_after_its_grace_period(world: World, operator: Operator) -> None:
    tenant, node = world.add_tenant(), await world.add_node()
    job_id = await world.submit_job(tenant)
    given = await node.claim_attempt()
    drained = await operator.node(node.name, NodeAction.DRAIN, grace_s=3600)
    assert drained is not None
    assert drained.drain_at is not None
    assert (drained.job_id, (await node.send_heartbeat(given.ref)).lease) == (job_id, LeaseState.KEPT)
    await operator.node(node.name, NodeAction.DRAIN, grace_s=7200)  # a drain is never postponed
    assert (await operator.nodes())[node.name].drain_at == drained.drain_at
    await operator.node(node.name, NodeAction.UNCORDON)  # uncordoning cancels the drain
    assert (await operator.nodes())[node.name].drain_at is None
    await operator.node(node.name, NodeAction.DRAIN, grace_s=3600)
    await world.system.sql.execute("UPDATE nodes SET drain_at = now() WHERE name = $1", node.name)

    async def lost() -> bool:
        return (await node.send_heartbeat(given.ref)).lease is LeaseState.LOST

    await until(lost)
    assert (await world.read_job(tenant, job_id)).state is JobState.QUEUED


async def test_withdrawn_attempts_do_not_count_as_tries(world: World, operator: Operator) -> None:
    tenant, node = world.add_tenant(), await world.add_node()
    job_id = await world.submit_job(tenant)
    for _ in range(3):
        await node.claim_attempt()
        assert (await operator.job(job_id, JobAction.REQUEUE)).state is JobState.QUEUED
    for number in range(3):
        given = await node.claim_attempt()
        assert given.ref.attempt == 4 + number
        assert await node.finish(given.ref, Outcome.NODE_FAULT, gpu_seconds=1.5)
    assert (await world.read_job(tenant, job_id)).state is JobState.FAILED
    (day,) = await operator.usage(tenant)
    assert (day.images, day.gpu_seconds) == (0, 4.5)


async def test_drain_does_not_withdraw_an_attempt_of_a_cancelled_job(world: World, operator: Operator) -> None:
    tenant, node = world.add_tenant(), await world.add_node()
    job_id = await world.submit_job(tenant, images=2)
    given = await node.claim_attempt()
    await world.cancel(tenant, job_id)
    await operator.node(node.name, NodeAction.DRAIN)
    assert (await node.send_heartbeat(given.ref)).lease is LeaseState.CANCELLED
    assert await node.finish(given.ref, Outcome.CANCELLED, images=1, gpu_seconds=0.5)
    (day,) = await operator.usage(tenant)
    assert (day.images, day.gpu_seconds) == (1, 0.5)


async def test_job_cancelled_before_a_concurrent_requeue_stays_cancelled(
    world: World, operator: Operator, second_sql: asyncpg.Connection
) -> None:
    """The test holds the tenant's lock, so that the cancellation is queued for it before the requeue."""
    tenant, node = world.add_tenant(), await world.add_node()
    job_id = await world.submit_job(tenant, images=2)
    given = await node.claim_attempt()

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
    assert (await node.send_heartbeat(given.ref)).lease is LeaseState.CANCELLED
    assert await node.finish(given.ref, Outcome.CANCELLED, images=1)
    assert await world.count_charged_images(tenant) == 1


async def test_attempt_ends_once_when_drain_claim_and_finish_run_concurrently(world: World, operator: Operator) -> None:
    tenant, node, other = world.add_tenant(), await world.add_node(), await world.add_node()
    for _ in range(10):
        job_id = await world.submit_job(tenant)
        given = await node.claim_attempt()
        _, finished, again = await asyncio.gather(
            operator.node(node.name, NodeAction.DRAIN), node.finish(given.ref), other.request_work(wait_s=0)
        )
        await operator.node(node.name, NodeAction.UNCORDON)
        state = (await world.read_job(tenant, job_id)).state
        assert finished == (state is JobState.SUCCEEDED)
        again = again or (None if finished else await other.claim_attempt())
        assert (again is None) == finished
        if again is not None:
            assert await other.finish(again.ref)
    (day,) = await operator.usage(tenant)
    assert (day.jobs, day.images, day.gpu_seconds) == (10, 10, 10.0)


@pytest.mark.requirement("DELETE /api/v1/admin/nodes/{node}")
async def test_only_an_offline_node_without_an_attempt_can_be_forgotten(world: World, operator: Operator) -> None:
    node = await world.add_node()
    with pytest.raises(RelayedRefusal) as relayed:
        await operator.node(node.name, NodeAction.FORGET)
    assert relayed.value.details.code == "node.alive"
    tenant = world.add_tenant()
    await world.submit_job(tenant)
    given = await node.claim_attempt()
    await world.system.sql.execute("UPDATE nodes SET seen_at = now() - interval '1 day' WHERE name = $1", node.name)
    with pytest.raises(RelayedRefusal) as relayed:
        await operator.node(node.name, NodeAction.FORGET)
    assert relayed.value.details.code == "node.alive"
    assert await node.finish(given.ref)
    assert not (await operator.nodes())[node.name].online
    assert await operator.node(node.name, NodeAction.FORGET) is None
    assert node.name not in await operator.nodes()
    for order in NodeAction:
        with pytest.raises(RelayedRefusal) as relayed:
            await operator.node(node.name, order)
        assert relayed.value.details.code == "node.not_found"
    await node.join()  # a forgotten node joins as a new one
    assert (await operator.nodes())[node.name].online


async def test_held_job_is_not_run_until_it_is_released(world: World, operator: Operator) -> None:
    tenant, node = world.add_tenant(queue_cap=2), await world.add_node()
    job_id, behind = await world.submit_job(tenant), await world.submit_job(tenant)
    said: list[str] = []

    async def on_message(message: JobEvent, _: Metadata) -> None:
        said.append(message.cause)

    unsubscribe = await world.system.bus.subscribe(JOB_CHANGED_LIVE, on_message, tenant=str(tenant), key=str(job_id))
    await wait_until_processed(world.system.bus._client)
    held = await operator.job(job_id, JobAction.HOLD)
    assert (held.held, held.state, held.queue_position) == (True, JobState.QUEUED, None)
    assert (await world.read_job(tenant, behind)).queue_position == 1
    assert (await operator.job(job_id, JobAction.HOLD)).seq == held.seq
    await world.submit_job(tenant)  # a held job does not count as queued
    assert (await world.read_counters(tenant)) == (2, 0)
    for _ in range(2):
        given = await node.claim_attempt()
        assert given.ref.job_id != job_id
        assert await node.finish(given.ref)
    kept = asyncio.create_task(node.claim_attempt())
    assert not (await operator.job(job_id, JobAction.RELEASE)).held
    assert (await kept).ref.job_id == job_id
    with pytest.raises(RelayedRefusal) as relayed:
        await operator.job(job_id, JobAction.HOLD)
    assert relayed.value.details.code == "job.not_waiting"
    assert await node.finish((await kept).ref)
    assert await world.list_causes(tenant, job_id) == ["submitted", "held", "released", "claimed", "succeeded"]
    # Live events may arrive out of order; their ``seq`` gives the order.
    await until(lambda: sorted(said) == sorted(["held", "released", "claimed", "succeeded"]))
    await unsubscribe()
    for order in (JobAction.HOLD, JobAction.RELEASE, JobAction.PRIORITISE):
        with pytest.raises(RelayedRefusal) as relayed:
            await operator.job(job_id, order, priority=1)
        assert relayed.value.details.code == "job.ended"


async def test_cancelled_held_job_is_not_charged(world: World, operator: Operator) -> None:
    tenant = world.add_tenant()
    await world.add_node()
    job_id = await world.submit_job(tenant, images=2)
    await operator.job(job_id, JobAction.HOLD)
    job = await operator.job(job_id, JobAction.CANCEL)
    assert (job.state, job.held, job.images) == (JobState.CANCELLED, False, 0)
    assert (await world.count_charged_images(tenant), await world.read_counters(tenant)) == (0, (0, 0))


@pytest.mark.requirement("F-100")
async def test_counters_stay_correct_under_concurrent_hold_release_claim_and_cancel(
    world: World, operator: Operator
) -> None:
    tenant, node = world.add_tenant(), await world.add_node()

    async def try_to(job_id: UUID, order: JobAction) -> str | None:
        try:
            await operator.job(job_id, order)
        except RelayedRefusal as relayed:
            return relayed.details.code
        return None

    for _ in range(10):
        job_id = await world.submit_job(tenant)
        orders = (JobAction.HOLD, JobAction.RELEASE, JobAction.HOLD, JobAction.REQUEUE, JobAction.CANCEL)
        ordered = asyncio.gather(*(try_to(job_id, order) for order in orders))
        given, refused = await asyncio.gather(node.request_work(), ordered)
        assert set(refused) <= {None, "job.not_waiting", "job.ended", "job.not_repeatable"}
        if given is not None:
            await node.finish(given.ref, Outcome.CANCELLED)
        assert (await world.read_job(tenant, job_id)).state is JobState.CANCELLED
        assert await world.read_counters(tenant) == (0, 0)
    assert await world.count_charged_images(tenant) == 0


async def test_priority_set_by_an_operator_decides_which_job_runs_next(world: World, operator: Operator) -> None:
    tenant, node = world.add_tenant(), await world.add_node()
    jobs = [await world.submit_job(tenant) for _ in range(3)]
    assert (await operator.job(jobs[2], JobAction.PRIORITISE, priority=10)).queue_position == 1
    assert (await operator.job(jobs[0], JobAction.PRIORITISE, priority=-10)).queue_position == 3
    order = []
    for _ in jobs:
        given = await node.claim_attempt()
        order.append(given.ref.job_id)
        assert await node.finish(given.ref)
    assert order == [jobs[2], jobs[1], jobs[0]]


async def test_requeued_failed_job_runs_as_one_new_job_under_its_owners_limits(
    world: World, operator: Operator
) -> None:
    tenant, node = world.add_tenant(images_per_day=4), await world.add_node()
    sent = build_graph(images=2)
    sent["3"]["inputs"]["seed"] = -1
    extra = {"extra_pnginfo": {"workflow": {"id": "é"}}}
    fields = {"priority": 7, "labels": {"a": "b"}, "workflow": "w", "run_within_seconds": 9, "extra_data": extra}
    job_id = await world.submit_job(tenant, graph=sent, **fields)
    drawn = (await world.read_job(tenant, job_id)).seeds
    given = await node.claim_attempt()
    assert given.extra_data == extra
    assert (await node.claim_attempt()).extra_data == extra, "a repeated request returns the same attempt"
    assert await node.finish(given.ref, Outcome.FAILED)
    again = await asyncio.gather(*(operator.job(job_id, JobAction.REQUEUE) for _ in range(5)))
    assert len({job.job_id for job in again}) == 1
    new = again[0]
    assert new.job_id != job_id
    assert (new.retry_of, new.priority, new.labels, new.workflow, new.images) == (job_id, 7, {"a": "b"}, "w", 2)
    assert (new.seeds, new.seed, [seed.node_id for seed in new.seeds]) == (drawn, drawn[0].seed, ["3"])
    assert (await world.read_job(tenant, job_id)).state is JobState.FAILED
    second = await node.claim_attempt()
    assert (second.ref.job_id, second.graph, second.run_within_s) == (new.job_id, given.graph, 9)
    assert second.extra_data == extra
    assert await node.finish(second.ref, images=2)
    with pytest.raises(RelayedRefusal) as relayed:
        await operator.job(new.job_id, JobAction.REQUEUE)
    assert relayed.value.details.code == "job.not_repeatable"
    failed = await world.submit_job(tenant)
    given = await node.claim_attempt()
    assert await node.finish(given.ref, Outcome.FAILED)
    await world.change_limits(tenant, images_per_day=2)
    with pytest.raises(RelayedRefusal) as relayed:
        await operator.job(failed, JobAction.REQUEUE)
    assert relayed.value.details.code == "quota.images_exceeded"


async def test_action_on_an_unknown_job_is_refused(world: World, operator: Operator) -> None:
    await world.add_node()
    for order in JobAction:
        with pytest.raises(RelayedRefusal) as relayed:
            await operator.job(uuid4(), order, priority=1)
        assert relayed.value.details.code == "job.not_found"


@pytest.mark.requirement("operator.dry-run")
async def test_preview_of_a_node_action_says_what_it_would_do_and_changes_nothing(
    world: World, operator: Operator
) -> None:
    tenant, node = world.add_tenant(), await world.add_node("only-here.safetensors")
    await world.until_offered("only-here.safetensors")
    jobs = [await world.submit_job(tenant, model="only-here.safetensors") for _ in range(3)]
    given = await node.claim_attempt()
    assert given.ref.job_id == jobs[0]
    await node.send_heartbeat(given.ref, 40.0)
    before = (await operator.nodes())[node.name]
    drain = await operator.preview(node.name, NodeAction.DRAIN, grace_s=60)
    assert drain.keys() - {"last_node"} == {"no_new_jobs", "job_requeued", "jobs_without_node"}
    assert (drain["job_requeued"].count, drain["jobs_without_node"].count) == (1, 2)
    assert "after 60 s" in drain["job_requeued"].message
    assert "40 %" in drain["job_requeued"].message
    cordon = await operator.preview(node.name, NodeAction.CORDON)
    assert cordon.keys() - {"last_node"} == {"no_new_jobs", "job_continues", "jobs_without_node"}
    assert (await operator.preview(node.name, NodeAction.CLEAR)).keys() == {"no_effect"}
    with pytest.raises(RelayedRefusal) as relayed:
        await operator.preview(node.name, NodeAction.FORGET)
    assert relayed.value.details.code == "node.alive"
    with pytest.raises(RelayedRefusal) as relayed:
        await operator.preview("nobody", NodeAction.DRAIN)
    assert relayed.value.details.code == "node.not_found"
    after = (await operator.nodes())[node.name]
    assert (after.cordoned_at, after.drain_at, after.job_id) == (None, None, before.job_id)
    await operator.node(node.name, NodeAction.CORDON)
    assert (await operator.preview(node.name, NodeAction.CORDON)).keys() == {"no_effect"}
    assert (await operator.preview(node.name, NodeAction.DRAIN)).keys() == {"job_requeued"}
    assert await node.finish(given.ref)
    assert (await operator.preview(node.name, NodeAction.DRAIN)).keys() == {"no_effect"}
    await operator.node(node.name, NodeAction.UNCORDON)
