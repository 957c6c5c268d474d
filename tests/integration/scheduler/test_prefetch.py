"""A node that runs a job may prefetch the next one, which moves to another node if that is free."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from chassis.ids import new_id
from chassis.messaging.metadata import Metadata
from contracts.executor.attempts import RELEASE_ATTEMPT, ReleaseAttempt
from contracts.scheduler.attempts import Assignment, AttemptRef, FinishReply, Outcome, RequestWork
from contracts.scheduler.heartbeats import LeaseState
from contracts.scheduler.jobs import JobState
from contracts.scheduler.nodes import NodeAction
from tests.integration.scheduler.conftest import (
    COMMON,
    Node,
    World,
    bring_start_deadline_closer,
    bus_as,
    until_overdue_jobs_expired,
)
from tests.integration.scheduler.operator import Operator
from tests.kit.nats import wait_until_processed
from tests.kit.waiting import until

OWN_MODEL = "prefetched.safetensors"  # used by this module only: the scheduler remembers loaded models
MAX_ENDS = 10  # tries until the requested job is not locked
RECLAIMED_WITHIN_S = 30  # takes half a second on an idle machine

Hints = asyncio.Queue[ReleaseAttempt]


@asynccontextmanager
async def release_hints(node: Node) -> AsyncIterator[Hints]:
    """Subscribe to the hints that ask the node to release attempts; yield a queue of them."""
    hints: Hints = asyncio.Queue()
    executor = bus_as(node.system.nats_url, "executor")
    try:
        await executor.start()

        async def on_message(message: ReleaseAttempt, _: Metadata) -> None:
            hints.put_nowait(message)

        await executor.subscribe(RELEASE_ATTEMPT, on_message, key=node.name)
        await wait_until_processed(executor._client)
        yield hints
    finally:
        await executor.stop()


async def submit_and_claim(world: World, tenant: UUID, node: Node, **fields: Any) -> Assignment:
    """Submit a job and have this node claim it."""
    job_id = await world.submit_job(tenant, **fields)
    given = await node.claim_attempt()
    assert given.ref.job_id == job_id
    return given


async def finish_and_claim(node: Node, ref: AttemptRef, request: RequestWork) -> FinishReply:
    """Finish an attempt and request another one, repeatedly until the reply has one; return that reply.

    The request gets nothing while another transaction has locked the job. Only the first report is applied.
    """
    replies: list[FinishReply] = []

    async def is_claimed() -> bool:
        replies.append(await node.finish_and_request(ref, request))
        return replies[-1].assignment is not None

    await until(is_claimed)
    return replies[-1]


@pytest.mark.requirement("F-113")
async def test_report_of_an_end_can_request_the_next_job(world: World) -> None:
    node = await world.add_node()
    for _ in range(MAX_ENDS):
        tenant = world.add_tenant()
        jobs = [await world.submit_job(tenant) for _ in range(4)]
        first = await node.claim_attempt()
        second = await node.prefetch_attempt(first.ref)
        request = RequestWork(boot_id=node.boot_id, wait_s=30, held=second.ref)
        reply = await node.finish_and_request(first.ref, request)
        assert reply.applied
        if reply.assignment is not None:
            break
        await world.end_all_jobs()  # another transaction had locked the third job
    assert reply.assignment is not None
    assert (reply.assignment.ref.job_id, reply.assignment.renewed) == (jobs[2], False)
    assert (await world.read_job(tenant, jobs[0])).state is JobState.SUCCEEDED
    repeated = await finish_and_claim(node, first.ref, request)  # as if the reply had been lost
    assert repeated.assignment == reply.assignment.model_copy(update={"renewed": True})
    assert not repeated.applied
    for ref in (second.ref, reply.assignment.ref):
        assert await node.finish(ref)


@pytest.mark.requirement("F-113")
async def test_busy_node_prefetches_one_job_and_runs_both(world: World) -> None:
    tenant, node = world.add_tenant(), await world.add_node()
    jobs = [await world.submit_job(tenant) for _ in range(3)]
    first = await node.claim_attempt()
    assert await node.start(first.ref)
    second = await node.prefetch_attempt(first.ref)
    assert (second.ref.job_id, second.renewed) == (jobs[1], False)
    assert await world.read_counters(tenant) == (1, 2)
    assert (await world.read_job(tenant, jobs[1])).state is JobState.LEASED
    repeated = await node.prefetch_attempt(first.ref)  # as if the reply had been lost
    assert repeated == second.model_copy(update={"renewed": True})
    assert await node.request_work() == first.model_copy(update={"renewed": True})  # as if the journal had been lost
    reply = await node.send_heartbeat(first.ref, other_attempt=second.ref)
    assert (reply.lease, reply.other_lease) == (LeaseState.KEPT, LeaseState.KEPT)
    status = (await Operator(world.system.bus).nodes())[node.name]
    assert (status.job_id, status.attempt) == (jobs[0], 1)
    assert await node.start(second.ref)  # while outputs of the first job are still being stored
    assert (await Operator(world.system.bus).nodes())[node.name].job_id == jobs[1]
    assert await node.finish(first.ref)
    third = await node.prefetch_attempt(second.ref)
    assert third.ref.job_id == jobs[2]
    assert await node.finish(second.ref)
    assert await node.finish(third.ref)
    assert [await world.list_causes(tenant, job) for job in jobs[:2]] == [
        ["submitted", "claimed", "started", "succeeded"]
    ] * 2
    assert await world.read_counters(tenant) == (0, 0)


@pytest.mark.requirement("F-113", "setting NODE_ATTEMPTS")
async def test_node_has_three_attempts_while_outputs_of_one_are_stored(world: World) -> None:
    tenant, node = world.add_tenant(), await world.add_node()
    jobs = [await world.submit_job(tenant) for _ in range(5)]
    first = await node.claim_attempt()
    assert await node.start(first.ref)
    second = await node.prefetch_attempt(first.ref)
    assert await node.start(second.ref)
    third = await node.prefetch_attempt(second.ref, first.ref)
    assert (third.ref.job_id, third.renewed) == (jobs[2], False)
    repeated = await node.prefetch_attempt(second.ref, first.ref)  # as if the reply had been lost
    assert repeated == third.model_copy(update={"renewed": True})
    assert await node.request_work(held=third.ref, also_held=(second.ref, first.ref)) is None
    assert await world.read_counters(tenant) == (2, 3)
    reply = await node.send_heartbeat(second.ref, other_attempt=third.ref, further_attempts=(first.ref,))
    assert [reply.lease, reply.other_lease, *reply.further_leases] == [LeaseState.KEPT] * 3
    assert reply.max_attempts == 3
    assert (await Operator(world.system.bus).nodes())[node.name].job_id == jobs[1]
    request = RequestWork(boot_id=node.boot_id, wait_s=0, held=third.ref, also_held=(second.ref,))
    fourth = (await finish_and_claim(node, first.ref, request)).assignment
    assert fourth is not None
    assert fourth.ref.job_id == jobs[3]
    await world.cancel(tenant, jobs[1])
    await Operator(world.system.bus).node(node.name, NodeAction.DRAIN)  # without a grace period: all are withdrawn
    further = (first.ref, second.ref)
    reply = await node.send_heartbeat(fourth.ref, other_attempt=third.ref, further_attempts=further)
    assert [reply.lease, reply.other_lease, reply.further_leases[0]] == [LeaseState.LOST] * 3
    assert reply.further_leases[1] is LeaseState.CANCELLED
    assert await node.finish(second.ref, Outcome.CANCELLED, error=None)
    assert await world.read_counters(tenant) == (3, 0)
    await Operator(world.system.bus).node(node.name, NodeAction.UNCORDON)
    for _ in range(3):
        assert await node.finish((await node.claim_attempt()).ref)


@pytest.mark.requirement("F-113")
async def test_prefetched_job_counts_as_running_and_returns_to_its_place_free_of_charge(world: World) -> None:
    tenant, node = world.add_tenant(max_running=2), await world.add_node()
    jobs = [await world.submit_job(tenant, images=2) for _ in range(3)]
    first = await node.claim_attempt()
    for number in range(1, 5):  # more often than a job may be tried
        prefetched = await node.prefetch_attempt(first.ref)
        assert (prefetched.ref.job_id, prefetched.ref.attempt) == (jobs[1], number)
        other = await world.add_node()
        assert await other.request_work() is None  # the limit of the tenant is reached
        assert await node.finish(prefetched.ref, Outcome.RELEASED, error=None)
        assert not await node.finish(prefetched.ref)
        assert await world.read_counters(tenant) == (2, 1)
    prefetched = await node.prefetch_attempt(first.ref)
    assert (await world.cancel(tenant, jobs[1])).state is JobState.CANCELLED
    reply = await node.send_heartbeat(first.ref, other_attempt=prefetched.ref)
    assert (reply.lease, reply.other_lease) == (LeaseState.KEPT, LeaseState.CANCELLED)
    assert await node.finish(prefetched.ref, Outcome.CANCELLED, error=None)
    assert await node.finish(first.ref, images=2)
    assert await world.count_charged_images(tenant) == 4  # two of the first job, two reserved for the third
    last = await node.claim_attempt()
    assert await node.finish(last.ref, images=2)


@pytest.mark.requirement("F-113")
async def test_prefetched_job_that_was_cancelled_before_its_start_does_not_begin_after_its_end(world: World) -> None:
    tenant, node = world.add_tenant(), await world.add_node()
    jobs = [await world.submit_job(tenant) for _ in range(2)]
    first = await node.claim_attempt()
    prefetched = await node.prefetch_attempt(first.ref)
    cancelled = await world.cancel(tenant, jobs[1])
    assert not await node.start(prefetched.ref)
    assert await world.read_job(tenant, jobs[1]) == cancelled
    assert await node.finish(prefetched.ref, Outcome.CANCELLED, error=None)
    assert await node.finish(first.ref)


@pytest.mark.requirement("F-113", "limit.start")
async def test_prefetched_job_with_a_lost_start_report_is_retried_after_its_start_deadline(
    world: World,
) -> None:
    tenant, node = world.add_tenant(), await world.add_node()
    await world.submit_job(tenant)
    job_id = await world.submit_job(tenant, start_within_seconds=3600)
    first = await node.claim_attempt()
    prefetched = await node.prefetch_attempt(first.ref)
    assert prefetched.ref.job_id == job_id
    await bring_start_deadline_closer(world, [job_id], seconds=3700)
    await until_overdue_jobs_expired(world, tenant)
    assert await node.finish(prefetched.ref, Outcome.NODE_FAULT, gpu_seconds=1.0)
    await until_overdue_jobs_expired(world, tenant)
    assert (await world.read_job(tenant, job_id)).state is JobState.QUEUED
    assert await node.finish(first.ref)


@pytest.mark.requirement("F-113")
async def test_run_of_a_prefetched_job_counts_from_its_start(world: World) -> None:
    tenant, node, operator = world.add_tenant(), await world.add_node(), Operator(world.system.bus)
    jobs = [await world.submit_job(tenant) for _ in range(2)]
    first = await node.claim_attempt()
    prefetched = await node.prefetch_attempt(first.ref)

    async def read_times() -> tuple[datetime, datetime | None]:
        found = await operator.inspect(jobs[1])
        return found.attempts[0].leased_at, (await world.read_job(tenant, jobs[1])).started_at

    claimed_at, _ = await read_times()
    assert await node.start(prefetched.ref)
    leased_at, started_at = await read_times()
    assert leased_at > claimed_at
    assert started_at == leased_at
    for ref in (first.ref, prefetched.ref):
        assert await node.finish(ref)


@pytest.mark.requirement("F-113")
async def test_waiting_node_goes_before_a_prefetch_and_gets_a_prefetched_job_back(world: World) -> None:
    tenant, node, other, unsuitable = (
        world.add_tenant(),
        await world.add_node(OWN_MODEL),
        await world.add_node(OWN_MODEL),
        await world.add_node(COMMON),
    )
    await world.until_offered(OWN_MODEL)
    idle = asyncio.create_task(unsuitable.request_work(wait_s=6))
    jobs = [await world.submit_job(tenant, model=OWN_MODEL) for _ in range(2)]
    first = await node.claim_attempt()
    prefetched = await node.prefetch_attempt(first.ref)  # the waiting node cannot run it
    async with release_hints(node) as hints:
        waiting = asyncio.create_task(other.claim_attempt())
        async with asyncio.timeout(RECLAIMED_WITHIN_S):
            assert await hints.get() == ReleaseAttempt(job_id=jobs[1], attempt=1)
            assert await node.finish(prefetched.ref, Outcome.RELEASED, error=None)
            moved = await waiting
    assert (moved.ref.job_id, moved.ref.attempt) == (jobs[1], 2)
    assert await other.finish(moved.ref)
    asked = await other.start_waiting()
    third = await world.submit_job(tenant, model=OWN_MODEL)
    assert await node.request_work(held=first.ref) is None
    taken = await asked
    assert taken is not None
    assert taken.ref.job_id == third
    assert await other.finish(taken.ref)
    assert await node.finish(first.ref)
    assert await idle is None


@pytest.mark.requirement("F-113")
async def test_waiting_node_gets_back_one_prefetched_job_at_a_time(world: World) -> None:
    model = f"{new_id()}.safetensors"  # new, so that the scheduler does not know its time to load
    tenant, node, other = world.add_tenant(), *[await world.add_node(model) for _ in range(2)]
    await world.until_offered(model)
    running = (await submit_and_claim(world, tenant, node, model=model)).ref
    held = [running]
    for _ in range(2):
        await world.submit_job(tenant, model=model)
        prefetched = await node.prefetch_attempt(*held)
        held.append(prefetched.ref)
    async with release_hints(node) as hints:
        waiting = asyncio.create_task(other.claim_attempt())
        async with asyncio.timeout(RECLAIMED_WITHIN_S):
            assert {(await hints.get()).job_id for _ in range(2)} == {held[1].job_id}  # the hint is repeated
        assert await node.finish(held[1], Outcome.RELEASED, error=None)
        moved = (await waiting).ref
    assert moved.job_id == held[1].job_id
    assert await other.finish(moved)
    for ref in (held[0], held[2]):
        assert await node.finish(ref)


@pytest.mark.requirement("F-113", "F-45")
async def test_waiting_node_gets_back_no_prefetched_job_that_failed_on_it(world: World) -> None:
    model = f"{new_id()}.safetensors"  # new, so that the scheduler does not know its time to load
    tenant, node, other = world.add_tenant(), *[await world.add_node(model) for _ in range(2)]
    await world.until_offered(model)
    failed = (await submit_and_claim(world, tenant, other, model=model)).ref
    assert await other.finish(failed, Outcome.NODE_FAULT, node_failed=True)
    held = [(await submit_and_claim(world, tenant, node, model=model, priority=1)).ref]
    for job_id in (failed.job_id, await world.submit_job(tenant, model=model)):
        prefetched = await node.prefetch_attempt(*held)
        assert prefetched.ref.job_id == job_id
        held.append(prefetched.ref)
    async with release_hints(node) as hints:
        waiting = asyncio.create_task(other.claim_attempt())
        async with asyncio.timeout(RECLAIMED_WITHIN_S):
            assert (await hints.get()).job_id == held[2].job_id
        assert await node.finish(held[2], Outcome.RELEASED, error=None)
        moved = (await waiting).ref
    assert moved.job_id == held[2].job_id
    assert await other.finish(moved)
    for ref in held[:2]:
        assert await node.finish(ref)


@pytest.mark.requirement("F-113")
async def test_cordoned_node_is_asked_to_hand_a_prefetched_job_back_and_gets_no_other(world: World) -> None:
    tenant, node = world.add_tenant(), await world.add_node()
    jobs = [await world.submit_job(tenant) for _ in range(2)]
    first = await node.claim_attempt()
    prefetched = await node.prefetch_attempt(first.ref)
    async with release_hints(node) as hints:
        await Operator(world.system.bus).node(node.name, NodeAction.CORDON)
        async with asyncio.timeout(RECLAIMED_WITHIN_S):
            assert await hints.get() == ReleaseAttempt(job_id=jobs[1], attempt=1)
    assert await node.finish(prefetched.ref, Outcome.RELEASED, error=None)
    assert await node.request_work(held=first.ref) is None
    await Operator(world.system.bus).node(node.name, NodeAction.UNCORDON)
    prefetched = await node.prefetch_attempt(first.ref)
    await Operator(world.system.bus).node(node.name, NodeAction.DRAIN)  # without a grace period: both are withdrawn
    reply = await node.send_heartbeat(first.ref, other_attempt=prefetched.ref)
    assert (reply.lease, reply.other_lease) == (LeaseState.LOST, LeaseState.LOST)
    await Operator(world.system.bus).node(node.name, NodeAction.UNCORDON)
    for _ in jobs:
        assert await node.finish((await node.claim_attempt()).ref)
