"""Limits of a tenant hold under concurrent submits, and an accepted submit stays accepted."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from chassis.ids import new_id
from contracts.scheduler.attempts import AttemptRef, Outcome
from contracts.scheduler.jobs import DrawnSeed, JobState
from contracts.scheduler.submissions import SubmitReply
from contracts.wire.errors import ErrorKind, RefusalDetails, RelayedRefusal
from tests.integration.scheduler.conftest import (
    Node,
    World,
    bring_start_deadline_closer,
    build_graph,
    until_expired,
    until_overdue_jobs_expired,
)
from tests.kit.waiting import until

ROUNDS = 3


async def refused(world: World, tenant: UUID, **fields: Any) -> RefusalDetails:
    with pytest.raises(RelayedRefusal) as relayed:
        await world.submit(tenant, **fields)
    return relayed.value.details


async def at_once(world: World, tenant: UUID, number: int) -> tuple[list[SubmitReply], list[str]]:
    """Submit jobs concurrently; return those accepted, and the error codes of the others."""
    submits = (world.submit(tenant) for _ in range(number))
    answers = await asyncio.gather(*submits, return_exceptions=True)
    accepted = [answer for answer in answers if isinstance(answer, SubmitReply)]
    codes = [answer.details.code for answer in answers if isinstance(answer, RelayedRefusal)]
    assert len(accepted) + len(codes) == number
    return accepted, codes


async def claim_on_idle_nodes(nodes: Sequence[Node], held: dict[Node, AttemptRef]) -> None:
    """Have all nodes without an attempt request work at once, and add the attempts that they get to ``held``."""
    idle = [node for node in nodes if node not in held]
    given = await asyncio.gather(*(node.request_work() for node in idle))
    held |= {node: found.ref for node, found in zip(idle, given, strict=True) if found is not None}


@pytest.mark.requirement("F-96")
async def test_concurrency_limit_holds_with_five_idle_nodes(world: World) -> None:
    tenant = world.add_tenant(max_running=2)
    nodes = [await world.add_node() for _ in range(5)]
    left = 5
    for _ in range(left):
        await world.submit_job(tenant)
    while left:
        held: dict[Node, AttemptRef] = {}

        async def is_limit_reached(held: dict[Node, AttemptRef] = held, limit: int = min(2, left)) -> bool:
            await claim_on_idle_nodes(nodes, held)
            return len(held) >= limit

        await until(is_limit_reached)
        await claim_on_idle_nodes(nodes, held)
        assert len(held) == await world.count_live_attempts() == min(2, left)
        left -= len(held)
        assert await world.read_counters(tenant) == (left, len(held))
        for node, ref in held.items():
            assert await node.finish(ref)


async def test_freed_slot_wakes_a_waiting_node(world: World) -> None:
    tenant = world.add_tenant(max_running=1)
    first, second = await world.add_node(), await world.add_node()
    for _ in range(2):
        await world.submit_job(tenant)
    given = await first.claim_attempt()
    waiting = asyncio.create_task(second.claim_attempt())
    assert await first.finish(given.ref)
    other = await waiting
    assert await second.finish(other.ref)


async def test_raised_limit_applies_at_the_next_submit(world: World) -> None:
    tenant = world.add_tenant(queue_cap=1)
    await world.add_node()
    await world.submit_job(tenant)
    assert (await refused(world, tenant)).code == "quota.queue_full"
    await world.change_limits(tenant, queue_cap=2)
    await world.submit_job(tenant)
    assert (await refused(world, tenant)).code == "quota.queue_full"


@pytest.mark.requirement("F-95")
async def test_last_image_of_the_day_is_given_to_one_of_many_concurrent_submits(world: World) -> None:
    await world.add_node()
    for _ in range(ROUNDS):
        tenant = world.add_tenant(images_per_day=3)
        assert (await world.submit(tenant, images=2)).quota.used == 2
        accepted, codes = await at_once(world, tenant, 30)
        assert len(accepted) == 1
        assert codes == ["quota.images_exceeded"] * 29
        assert (accepted[0].quota.limit, accepted[0].quota.used) == (3, 3)
        assert await world.count_charged_images(tenant) == 3


async def test_refusal_states_the_images_left_and_when_the_quota_resets(world: World) -> None:
    tenant, node = world.add_tenant(images_per_day=5), await world.add_node()
    await world.submit_job(tenant, images=3)
    told = await refused(world, tenant, images=3)
    assert (told.code, told.kind) == ("quota.images_exceeded", ErrorKind.LIMITED)
    assert told.message == "2 of today's 5 images are left, and this job needs 3. Make fewer, or wait until 00:00 UTC."
    assert told.retry_after_s is not None
    assert 0 < told.retry_after_s <= 86400
    assert await world.read_counters(tenant) == (1, 0)
    given = await node.claim_attempt()
    assert await node.finish(given.ref, images=1)  # fewer images than were reserved
    assert (await world.submit(tenant, images=4)).quota.used == 5


async def test_queue_cap_holds_under_concurrent_submits(world: World) -> None:
    await world.add_node()
    for _ in range(ROUNDS):
        tenant = world.add_tenant(queue_cap=4)
        accepted, codes = await at_once(world, tenant, 20)
        assert (len(accepted), set(codes)) == (4, {"quota.queue_full"})
        assert await world.read_counters(tenant) == (4, 0)
        waiting = [answer.job.waiting for answer in accepted]
        assert sorted(one.detail.jobs_ahead or 0 for one in waiting if one is not None) == [0, 1, 2, 3]
        await world.cancel(tenant, accepted[0].job.job_id)
        await world.submit_job(tenant)


async def test_submits_with_the_same_job_id_create_one_job(world: World) -> None:
    tenant, node = world.add_tenant(images_per_day=1, queue_cap=1), await world.add_node()
    job_id = new_id()
    answers = await asyncio.gather(*(world.submit(tenant, job_id=job_id) for _ in range(10)))
    assert sorted(answer.replayed for answer in answers) == [False] + [True] * 9
    assert {answer.job.job_id for answer in answers} == {job_id}
    assert (await refused(world, tenant, job_id=job_id, request_hash="1" * 64)).code == "idempotency.key_reused"
    given = await node.claim_attempt()
    assert await node.finish(given.ref)
    again = await world.submit(tenant, job_id=job_id)
    assert (again.replayed, again.job.state, again.quota.used) == (True, JobState.SUCCEEDED, 1)
    assert await world.list_causes(tenant, job_id) == ["submitted", "claimed", "succeeded"]


@pytest.mark.requirement("F-4", "F-6")
async def test_submits_with_the_same_idempotency_key_create_one_job(world: World) -> None:
    tenant, other = world.add_tenant(), world.add_tenant()
    await world.add_node()
    for _ in range(ROUNDS):
        key = uuid4().hex
        answers = await asyncio.gather(*(world.submit(tenant, idempotency_key=key) for _ in range(10)))
        assert sorted(answer.replayed for answer in answers) == [False] + [True] * 9
        (job_id,) = {answer.job.job_id for answer in answers}
        told = await refused(world, tenant, idempotency_key=key, request_hash="1" * 64)
        assert (told.code, told.kind) == ("idempotency.key_reused", ErrorKind.INVALID)
        assert (await world.submit_job(other, idempotency_key=key)) != job_id  # keys are separate per tenant
    assert await world.read_counters(tenant) == (ROUNDS, 0)
    assert await world.count_charged_images(tenant) == ROUNDS


async def test_accepted_submit_is_replayed_even_if_the_repeated_request_is_invalid(world: World) -> None:
    tenant = world.add_tenant()
    await world.add_node()
    first = await world.submit(tenant, idempotency_key="k")
    again = await world.submit(tenant, idempotency_key="k", model="gone.safetensors")
    assert (again.replayed, again.job.job_id) == (True, first.job.job_id)
    assert (await refused(world, tenant, model="gone.safetensors")).code == "workflow.invalid"


async def test_integer_beyond_64_bits_is_refused(world: World) -> None:
    tenant = world.add_tenant()
    await world.add_node()
    told = await refused(world, tenant, graph=build_graph() | {"4": {"class_type": "Draw", "inputs": {"seed": 2**70}}})
    (error,) = told.errors
    assert (told.code, error.code) == ("workflow.invalid", "integer_out_of_range")
    assert (error.node_id, error.input, str(2**64 - 1) in error.message) == ("4", "seed", True)


async def test_seed_of_minus_one_is_drawn_returned_and_sent_to_the_node(world: World) -> None:
    tenant = world.add_tenant()
    node = await world.add_node()
    sent = build_graph()
    sent["3"]["inputs"]["seed"] = -1
    submitted = await world.submit(tenant, graph=sent)
    assert submitted.job.seed is not None
    assert 0 <= submitted.job.seed < 2**63
    assert submitted.job.seeds == (DrawnSeed(node_id="3", input="seed", seed=submitted.job.seed),)
    assert (await world.read_job(tenant, submitted.job.job_id)).seeds == submitted.job.seeds
    given = await node.claim_attempt()
    assert given.graph["3"]["inputs"]["seed"] == submitted.job.seed
    assert await node.finish(given.ref)


async def test_images_are_counted_on_the_graph_that_the_node_gets(world: World) -> None:
    tenant = world.add_tenant()
    node = await world.add_node()
    sent = build_graph(images="2") | {"8": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "gone"}}}  # type: ignore[arg-type]
    sent["9"]["is_changed"] = ["abc"]
    await world.submit(tenant, graph=sent)
    assert await world.count_charged_images(tenant) == 2
    given = await node.claim_attempt()
    assert given.graph == build_graph(images=2)
    assert await node.finish(given.ref)


async def test_workflow_that_no_node_can_run_is_refused_and_not_charged(world: World) -> None:
    tenant, model = world.add_tenant(), uuid4().hex
    await world.add_node(f"{model}.safetensors")
    told = await refused(world, tenant, model=f"{model}-gone.safetensors")
    assert (told.code, told.kind) == ("workflow.invalid", ErrorKind.INVALID)
    (error,) = told.errors
    assert (error.pointer, error.code) == ("/workflow/1/inputs/ckpt_name", "value_not_in_list")
    assert (error.allowed or ("",))[0] == f"{model}.safetensors"
    assert await world.read_counters(tenant) == (0, 0)
    assert await world.count_charged_images(tenant) == 0


async def test_unknown_tenant_is_refused(world: World) -> None:
    await world.add_node()
    told = await refused(world, uuid4())
    assert (told.code, told.kind) == ("auth.tenant.unknown", ErrorKind.FORBIDDEN)


@pytest.mark.requirement("F-97")
async def test_deactivated_tenant_can_neither_submit_nor_run_jobs(world: World) -> None:
    tenant, node = world.add_tenant(), await world.add_node()
    await world.submit_job(tenant)
    world.system.auth.inactive.add(tenant)
    await world.until_saved(tenant)
    assert (await refused(world, tenant)).code == "auth.tenant.unknown"
    assert await node.request_work() is None
    world.system.auth.inactive.discard(tenant)
    await world.until_saved(tenant)
    await world.submit_job(tenant)
    await node.claim_attempt()
    world.may_leave_live_attempts = True


async def test_known_tenants_can_submit_while_auth_is_unavailable(world: World) -> None:
    tenant, stranger = world.add_tenant(queue_cap=2), world.add_tenant()
    await world.add_node()
    await world.submit_job(tenant)
    await world.system.auth.stop()
    try:
        await world.submit_job(tenant)
        assert (await refused(world, tenant)).code == "quota.queue_full"  # the saved limits are used
        told = await refused(world, stranger)
        assert (told.code, told.kind) == ("service.unavailable", ErrorKind.UNAVAILABLE)
        assert told.message == "The service auth does not answer now. Try again after Retry-After."
    finally:
        await world.system.auth.start()
    await world.submit_job(stranger)


@pytest.mark.requirement("B-50")
async def test_job_of_another_tenant_is_not_found(world: World) -> None:
    tenant, other = world.add_tenant(), world.add_tenant()
    await world.add_node()
    job_id = await world.submit_job(tenant)
    await world.submit_job(other)
    for ask in (world.read_job, world.cancel):
        with pytest.raises(RelayedRefusal) as relayed:
            await ask(other, job_id)
        assert relayed.value.details.code == "job.not_found"
    assert (await world.read_job(tenant, job_id)).state is JobState.QUEUED


@pytest.mark.requirement("F-28", "submission.start-within", "status.failed")
async def test_job_that_did_not_start_in_time_expires(world: World) -> None:
    tenant, node = world.add_tenant(images_per_day=4), await world.add_node()
    late = await world.submit_job(tenant, images=3, start_within_seconds=0.05)
    stays = await world.submit_job(tenant, start_within_seconds=3600)

    async def ended() -> bool:
        return (await world.read_job(tenant, late)).state is JobState.EXPIRED

    await until(ended)
    job = await world.read_job(tenant, late)
    assert job.error is not None
    assert (job.error.code, job.images, job.attempt) == ("job.start_time_passed", 0, 0)
    assert await world.list_causes(tenant, late) == ["submitted", "start_time_passed"]
    assert await world.count_charged_images(tenant) == 1
    given = await node.claim_attempt()
    assert given.ref.job_id == stays
    assert await node.request_work() == given.model_copy(update={"renewed": True})
    assert await node.finish(given.ref)


@pytest.mark.requirement("limit.start")
async def test_start_limit_of_the_tier_applies_to_jobs_that_never_started(world: World) -> None:
    tenant, node = world.add_tenant(), await world.add_node()
    told = await refused(world, world.add_tenant(start_seconds=60), start_within_seconds=61)
    assert (told.code, told.kind, "60" in told.message) == ("job.start_time_too_long", ErrorKind.INVALID, True)
    running = await world.submit_job(tenant)
    first = await node.claim_attempt()
    assert (first.ref.job_id, await node.start(first.ref)) == (running, True)
    await world.change_limits(tenant, start_seconds=3600)
    handed_back, waiting = [await world.submit_job(tenant, images=2) for _ in range(2)]
    shorter = await world.submit_job(tenant, start_within_seconds=1800)
    for _ in range(2):
        prefetched = await node.prefetch_attempt(first.ref)
        assert prefetched.ref.job_id == handed_back
        assert await node.finish(prefetched.ref, Outcome.RELEASED, error=None)
    for overdue, still_queued in (((shorter,), (handed_back, waiting)), ((handed_back, waiting), ())):
        await bring_start_deadline_closer(world, (*overdue, *still_queued), seconds=1800)
        for job_id in overdue:
            await until_expired(world, tenant, job_id)
            job = await world.read_job(tenant, job_id)
            assert job.error is not None
            assert (job.error.code, job.images) == ("job.start_time_passed", 0)
        for job_id in still_queued:
            assert (await world.read_job(tenant, job_id)).state is JobState.QUEUED
    assert await world.count_charged_images(tenant) == 1  # the running job's
    assert await world.read_counters(tenant) == (0, 1)
    assert await node.finish(first.ref)


@pytest.mark.requirement("limit.start")
async def test_only_a_start_counts_for_the_start_deadline_of_a_job_that_its_node_hands_back(world: World) -> None:
    tenant, node = world.add_tenant(), await world.add_node()
    started, leased = [await world.submit_job(tenant, start_within_seconds=3600) for _ in range(2)]
    first = await node.claim_attempt()
    assert (first.ref.job_id, await node.start(first.ref)) == (started, True)
    second = await (await world.add_node()).claim_attempt()
    assert second.ref.job_id == leased
    assert await world.nodes[1].finish(second.ref, Outcome.RELEASED, error=None)
    assert await node.finish(first.ref, Outcome.RELEASED, error=None)
    # the jobs overdue for longest expire first
    await bring_start_deadline_closer(world, [started], seconds=3602)
    await bring_start_deadline_closer(world, [leased], seconds=3600)
    await until_expired(world, tenant, leased)
    assert (await world.read_job(tenant, started)).state is JobState.QUEUED
    again = await node.claim_attempt()
    assert again.ref.job_id == started
    assert await node.finish(again.ref)


async def test_job_that_started_in_time_is_retried_after_its_start_deadline(world: World) -> None:
    tenant, node = world.add_tenant(), await world.add_node()
    job_id = await world.submit_job(tenant, start_within_seconds=3600)
    given = await node.claim_attempt()
    assert given.ref.job_id == job_id
    assert await node.start(given.ref)
    await bring_start_deadline_closer(world, [job_id], seconds=3700)
    await until_overdue_jobs_expired(world, tenant)
    assert await node.finish(given.ref, Outcome.NODE_FAULT)
    await until_overdue_jobs_expired(world, tenant)
    assert (await world.read_job(tenant, job_id)).state is JobState.QUEUED


async def test_job_that_starts_and_is_queued_again_after_it_was_found_overdue_does_not_expire(
    world: World, second_sql: asyncpg.Connection
) -> None:
    """While the scheduler waits for the lock of the first overdue job, a node tries the second one and fails."""
    locked, tenant, node = world.add_tenant(), world.add_tenant(), await world.add_node()
    first = await world.submit_job(locked, start_within_seconds=3600)
    tried = await world.submit_job(tenant, start_within_seconds=3600)
    last = await world.submit_job(tenant, start_within_seconds=3600, priority=-1)

    async def is_expirer_blocked() -> bool:
        sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return bool(await second_sql.fetchval(sql))

    async def is_last_expired() -> bool:
        return (await world.read_job(tenant, last)).state is JobState.EXPIRED

    async with second_sql.transaction():
        await second_sql.execute("SELECT 1 FROM tenants WHERE id = $1 FOR UPDATE", locked)
        await world.system.sql.execute(
            "UPDATE jobs SET start_by = now() - interval '1 s' + array_position($1, id) * interval '1 ms'"
            " WHERE id = ANY($1)",
            [first, tried, last],
        )
        await until(is_expirer_blocked)
        given = await node.claim_attempt()
        assert given.ref.job_id == tried
        assert await node.start(given.ref)
        assert await node.finish(given.ref, Outcome.NODE_FAULT)
    await until(is_last_expired)
    assert (await world.read_job(locked, first)).state is JobState.EXPIRED
    assert (await world.read_job(tenant, tried)).state is JobState.QUEUED
