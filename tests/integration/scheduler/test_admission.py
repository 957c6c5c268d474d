"""Admission of submits: quota, queue position, idempotency and changed accounts, also with two schedulers."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from chassis.ids import new_id
from contracts.scheduler.job_actions import RUN_JOB_ACTION, JobAction, RunJobAction
from contracts.scheduler.submissions import SubmitJob, SubmitReply
from contracts.wire.errors import RelayedRefusal
from scheduler.domain.admission import AcceptedJob, PendingSubmission, TenantAdmission, TenantAllowance
from scheduler.store import submits
from tests.integration.scheduler.conftest import World, build_graph, run_system
from tests.integration.scheduler.operator import Operator

ROUNDS = 3


async def outcome(submitted: Awaitable[SubmitReply]) -> str:
    """Return "accepted" or "replayed", or the code of the refusal."""
    try:
        return "replayed" if (await submitted).replayed else "accepted"
    except RelayedRefusal as relayed:
        return relayed.details.code


async def test_answer_of_a_submit_shows_the_job_as_it_is_stored(world: World) -> None:
    await world.add_node()
    tenant = world.add_tenant(images_per_day=100)
    first = await world.submit(tenant, images=2)
    earlier = await world.read_job(tenant, first.job.job_id)
    last = await world.submit(tenant, priority=1, images=3)
    job = last.job
    assert (first.quota.used, last.quota.used, job.queue_position) == (2, 5, 1)
    estimates = {name: getattr(job, name) for name in ("timings", "eta_seconds", "eta_p90_seconds")}
    stored = await world.read_job(tenant, job.job_id)
    assert job == stored.model_copy(update=estimates)
    for name in ("eta_seconds", "eta_p90_seconds"):  # the scheduler may learn its first run time during the test
        known = [getattr(one, name) is not None for one in (earlier, job, stored)]
        assert known == sorted(known), name
    (event,) = await world.list_events(tenant, job.job_id)
    assert (event.at, event.cause, event.seq) == (job.created_at, "submitted", 1)


async def test_queue_position_counts_overtaken_jobs(world: World) -> None:
    """One of the jobs is overtaken after an operator has changed a priority."""
    await world.add_node()
    tenant = world.add_tenant()
    positions = [
        (await world.submit(tenant, priority=priority)).job.queue_position for priority in (0, 5, 3, -2, 0, -2, 5, -3)
    ]
    assert positions == [1, 1, 2, 4, 4, 6, 2, 8]
    last = await world.submit_job(tenant, priority=9)
    await world.system.bus.request(RUN_JOB_ACTION, RunJobAction(job_id=last, order=JobAction.PRIORITISE, priority=-5))
    assert (await world.submit(tenant, priority=-4)).job.queue_position == 9
    assert (await world.submit(tenant, priority=-3)).job.queue_position == 9


async def test_cancelled_job_releases_its_reserved_images(world: World) -> None:
    await world.add_node()
    tenant = world.add_tenant(images_per_day=3)
    job = await world.submit_job(tenant, images=2)
    assert await outcome(world.submit(tenant, images=2)) == "quota.images_exceeded"
    await world.cancel(tenant, job)
    assert await outcome(world.submit(tenant, images=3)) == "accepted"
    await world.change_limits(tenant)
    assert await outcome(world.submit(tenant, images=2)) == "accepted"


async def test_idempotency_key_replays_the_same_request_only(world: World) -> None:
    await world.add_node()
    tenant = world.add_tenant()
    await world.submit(tenant, idempotency_key="k")
    assert await outcome(world.submit(tenant, idempotency_key="k")) == "replayed"
    reused = world.submit(tenant, idempotency_key="k", request_hash="f" * 64)
    assert await outcome(reused) == "idempotency.key_reused"


@pytest.mark.requirement("F-21")
async def test_two_schedulers_never_give_the_last_image_twice(world: World) -> None:
    system, node = world.system, await world.add_node()
    async with run_system(system.nats_url, system.database_url, lease_s=60) as other:
        other.auth.limits = system.auth.limits
        for number in range(ROUNDS):
            choose = random.Random(number)  # noqa: S311 - not for secrets
            tenant = world.add_tenant(images_per_day=30, queue_cap=25)
            outcomes: Counter[str] = Counter()
            while outcomes["quota.images_exceeded"] + outcomes["quota.queue_full"] < 10:
                keys = [choose.choice((None, f"{number}-{choose.randint(1, 4)}")) for _ in range(choose.randint(1, 6))]
                submits = (outcome(world.submit(tenant, idempotency_key=key)) for key in keys)
                outcomes.update(await asyncio.gather(*submits))
                if not choose.randint(0, 3) and (work := await node.request_work()):
                    await node.finish(work.ref)
            assert 25 <= outcomes["accepted"] <= 30
            assert await world.count_charged_images(tenant) == outcomes["accepted"]
            assert sum(await world.read_counters(tenant)) <= 25
            assert set(outcomes) <= {"accepted", "replayed", "quota.images_exceeded", "quota.queue_full"}
            await world.end_all_jobs()


CHANGES = ["claim", "reservation", "end", "cancellation", "hold", "cancellation on hold", "limit"]


@pytest.mark.parametrize("change", CHANGES)
async def test_each_change_of_what_a_tenant_may_use_outdates_its_allowance(
    world: World, second_sql: asyncpg.Connection, change: str
) -> None:
    tenant, node, operator = world.add_tenant(), await world.add_node(), Operator(world.system.bus)
    job_id = await world.submit_job(tenant)
    ref = (await node.claim_attempt()).ref if change in {"reservation", "end"} else None
    if change == "cancellation on hold":
        await operator.job(job_id, JobAction.HOLD)
    requirement = await second_sql.fetchval("SELECT requirement_id FROM jobs WHERE id = $1", job_id)
    asked = pending_submission(tenant, requirement)
    ((allowance, _),) = await submits.load_admission_facts(second_sql, [asked])
    match change:
        case "claim":
            await node.claim_attempt()
        case "reservation":
            assert ref is not None
            assert (await node.reserve(ref, 5)).images == 5
        case "end":
            assert ref is not None
            assert await node.finish(ref)
        case "hold":
            await operator.job(job_id, JobAction.HOLD)
        case "limit":
            await world.change_limits(tenant, queue_cap=1)
            assert await outcome(world.submit(tenant)) == "quota.queue_full"
        case _:
            await world.cancel(tenant, job_id)
    decision = TenantAdmission(allowance).decide(asked)
    assert isinstance(decision, AcceptedJob)
    assert await submits.insert_jobs(second_sql, [decision], {tenant: allowance}) == []
    await world.end_all_jobs()


def pending_submission(tenant: UUID, requirement: int) -> PendingSubmission:
    command = SubmitJob(job_id=new_id(), graph=build_graph(), request_hash="0" * 64)
    return PendingSubmission(tenant, command, graph="{}", requirement_id=requirement, images=1)


@pytest.mark.parametrize("wrong", ["version", "day", "one of two", "nothing"])
async def test_submit_with_an_outdated_tenant_allowance_writes_nothing(
    world: World, second_sql: asyncpg.Connection, wrong: str
) -> None:
    await world.add_node()
    tenants = [world.add_tenant(), world.add_tenant()]
    await asyncio.gather(*(world.submit_job(tenant) for tenant in tenants))
    requirement = await second_sql.fetchval("SELECT id FROM requirements LIMIT 1")
    submissions = [pending_submission(tenant, requirement) for tenant in tenants]
    allowances = {
        allowance.id: allowance for allowance, _ in await submits.load_admission_facts(second_sql, submissions)
    }
    changed: dict[str, Callable[[TenantAllowance], TenantAllowance]] = {
        "version": lambda allowance: replace(allowance, version=allowance.version - 1),
        "day": lambda allowance: replace(allowance, now=allowance.now - timedelta(days=1)),
        "one of two": lambda allowance: replace(allowance, version=allowance.version - (allowance.id == tenants[1])),
        "nothing": lambda allowance: allowance,
    }
    allowances = {tenant: changed[wrong](allowance) for tenant, allowance in allowances.items()}
    decisions = [TenantAdmission(allowances[one.tenant_id]).decide(one) for one in submissions]
    accepted = [decision for decision in decisions if isinstance(decision, AcceptedJob)]
    inserted = await submits.insert_jobs(second_sql, accepted, allowances)
    assert len(accepted) == 2
    assert [job.jobs_behind for job in inserted] == ([0, 0] if wrong == "nothing" else [])
    sql = "SELECT count(*) FROM jobs WHERE id = ANY($1)"
    jobs = await second_sql.fetchval(sql, [one.command.job_id for one in submissions])
    assert jobs == len(inserted)
