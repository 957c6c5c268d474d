"""A tenant whose account is remembered is not read again for a submit, and is never given more for that."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from chassis.ids import new_id
from contracts.scheduler.job_actions import RUN_JOB_ACTION, JobAction, RunJobAction
from contracts.scheduler.submissions import SubmitJob, SubmitReply
from contracts.wire.errors import Relayed
from scheduler.domain.admission import Accepted, Account, Candidate, Ledger
from scheduler.store import submits
from tests.integration.scheduler.conftest import World, build_graph, run_system
from tests.kit.waiting import until

ROUNDS = 20


async def code(submitted: Awaitable[SubmitReply]) -> str:
    """What a submit comes down to."""
    try:
        return "replayed" if (await submitted).replayed else "accepted"
    except Relayed as relayed:
        return relayed.refused.code


async def decided_at_once(world: World, second: asyncpg.Connection, tenant: UUID, **fields: Any) -> tuple[bool, str]:
    """What a submit was told, and whether it was written without reading anything first.

    It is held where it counts the day's images: a transaction that has read them has the lock of those who read.
    """
    waiting = """SELECT NOT EXISTS (SELECT 1 FROM pg_locks l WHERE l.pid = a.pid AND l.relation = 'usage_days'::regclass
                                    AND l.mode = 'AccessShareLock')
                 FROM pg_stat_activity a WHERE datname = current_database() AND wait_event_type = 'Lock'"""
    found: list[bool] = []
    async with second.transaction():
        await second.execute("SELECT 1 FROM usage_days WHERE tenant_id = $1 FOR UPDATE", tenant)
        submitting = asyncio.create_task(code(world.submit(tenant, **fields)))

        async def held() -> bool:
            found[:] = [row[0] for row in await world.system.sql.fetch(waiting)]
            return bool(found) or submitting.done()

        await until(held)
    return found == [True], await submitting


async def test_what_is_known_is_not_read_again(world: World, second_sql: asyncpg.Connection) -> None:
    await world.add_node()
    tenant = world.add_tenant(images_per_day=100)
    first = await world.submit(tenant, images=2)
    assert await decided_at_once(world, second_sql, tenant, images=3) == (True, "accepted")
    job = (last := await world.submit(tenant, priority=1)).job
    assert (first.quota.used, last.quota.used, job.queue_position) == (2, 6, 1)
    assert job == (await world.read_job(tenant, job.job_id)).model_copy(update={"timings": job.timings})
    (event,) = await world.list_events(tenant, job.job_id)
    assert (event.at, event.cause, event.seq) == (job.created_at, "submitted", 1)


@pytest.mark.parametrize("known", [True, False])
async def test_a_place_counts_those_that_are_overtaken(world: World, known: bool) -> None:
    """Also one that an operator has put last since, whether the account is remembered or read."""
    await world.add_node()
    tenant = world.add_tenant()
    told = [
        (await world.submit(tenant, priority=priority)).job.queue_position for priority in (0, 5, 3, -2, 0, -2, 5, -3)
    ]
    assert told == [1, 1, 2, 4, 4, 6, 2, 8]
    last = await world.submit_job(tenant, priority=9)
    order = RunJobAction(job_id=last, order=JobAction.PRIORITISE, priority=-5)
    await world.system.bus.request(RUN_JOB_ACTION, order)
    if known:
        await decided(world, tenant)  # at 0, behind 5, 5, 3, 0 and 0
    assert (await world.submit(tenant, priority=-4)).job.queue_position == 9 + known
    assert (await world.submit(tenant, priority=-3)).job.queue_position == 9 + known


Change = Callable[[World, asyncpg.Connection, UUID], Awaitable[object]]


async def limits_change(world: World, _: asyncpg.Connection, tenant: UUID) -> None:
    world.set_limits(tenant, images_per_day=6)


async def somebody_writes(_: World, sql: asyncpg.Connection, tenant: UUID) -> None:
    await sql.execute("UPDATE tenants SET images_per_day = 6 WHERE id = $1", tenant)


async def a_job_on_hold_is_cancelled(world: World, _: asyncpg.Connection, tenant: UUID) -> None:
    """Only the images of the day change."""
    job_id = await world.submit_job(tenant)
    order = RunJobAction(job_id=job_id, order=JobAction.HOLD)
    await world.system.bus.request(RUN_JOB_ACTION, order)
    await decided(world, tenant)
    await world.cancel(tenant, job_id)


async def decided(world: World, tenant: UUID) -> None:
    """Have the tenant's account remembered as it is now."""
    await world.submit_job(tenant)


async def a_job_is_put_last(world: World, _: asyncpg.Connection, tenant: UUID) -> None:
    """Only which priorities wait."""
    order = RunJobAction(job_id=await world.submit_job(tenant), order=JobAction.PRIORITISE, priority=-1)
    await world.system.bus.request(RUN_JOB_ACTION, order)


@pytest.mark.parametrize("change", [a_job_is_put_last, limits_change, somebody_writes, a_job_on_hold_is_cancelled])
async def test_what_has_changed_is_read_anew(world: World, second_sql: asyncpg.Connection, change: Change) -> None:
    await world.add_node()
    tenant = world.add_tenant(images_per_day=50)
    await decided(world, tenant)
    await change(world, second_sql, tenant)
    assert await decided_at_once(world, second_sql, tenant) == (False, "accepted")
    assert await decided_at_once(world, second_sql, tenant) == (True, "accepted")


async def test_nobody_is_refused_on_what_is_remembered(world: World, second_sql: asyncpg.Connection) -> None:
    await world.add_node()
    tenant = world.add_tenant(images_per_day=3)
    kept = await world.submit_job(tenant, images=2)
    assert await code(world.submit(tenant, images=2)) == "quota.images_exceeded"
    await world.cancel(tenant, kept)
    assert await code(world.submit(tenant, images=3)) == "accepted"
    await second_sql.execute("UPDATE tenants SET images_per_day = NULL WHERE id = $1", tenant)
    world.set_limits(tenant)
    assert await code(world.submit(tenant, images=2)) == "accepted"


async def test_a_key_is_known_although_the_account_is_too(world: World, second_sql: asyncpg.Connection) -> None:
    await world.add_node()
    tenant = world.add_tenant()
    await world.submit(tenant, idempotency_key="k")
    assert await decided_at_once(world, second_sql, tenant, idempotency_key="k") == (False, "replayed")
    assert await code(world.submit(tenant, idempotency_key="k", request_hash="f" * 64)) == "idempotency.key_reused"


@pytest.mark.requirement("F-21")
async def test_two_schedulers_never_give_the_last_image_twice(world: World) -> None:
    """NATS gives each message to one of them, so that each remembers what the other has changed since."""
    system, node = world.system, await world.add_node()
    async with run_system(system.nats_url, system.database_url, lease_s=60) as other:
        other.auth.limits = system.auth.limits
        for number in range(ROUNDS):
            choose = random.Random(number)  # noqa: S311 - not for secrets
            tenant = world.add_tenant(images_per_day=30, queue_cap=25)
            told: Counter[str] = Counter()
            while told["quota.images_exceeded"] + told["quota.queue_full"] < 10:
                keys = [choose.choice((None, f"{number}-{choose.randint(1, 4)}")) for _ in range(choose.randint(1, 6))]
                asked = (code(world.submit(tenant, idempotency_key=key)) for key in keys)
                told.update(await asyncio.gather(*asked))
                if not choose.randint(0, 3) and (work := await node.request_work()):
                    await node.finish(work.ref)
            assert 25 <= told["accepted"] <= 30
            assert await world.count_charged_images(tenant) == told["accepted"]
            assert sum(await world.read_counters(tenant)) <= 25
            assert set(told) <= {"accepted", "replayed", "quota.images_exceeded", "quota.queue_full"}
            await world.end_all_jobs()


def candidate(tenant: UUID, requirement: int) -> Candidate:
    command = SubmitJob(job_id=new_id(), graph=build_graph(), request_hash="0" * 64)
    return Candidate(tenant, command, graph="{}", requirement_id=requirement, images=1)


@pytest.mark.parametrize("wrong", ["version", "day", "one of two", "nothing"])
async def test_nothing_is_written_on_an_account_that_is_not_true(
    world: World, second_sql: asyncpg.Connection, wrong: str
) -> None:
    await world.add_node()
    tenants = [world.add_tenant(), world.add_tenant()]
    await asyncio.gather(*(decided(world, tenant) for tenant in tenants))
    requirement = await second_sql.fetchval("SELECT id FROM requirements LIMIT 1")
    candidates = [candidate(tenant, requirement) for tenant in tenants]
    accounts = {account.id: account for account, _ in await submits.load_facts(second_sql, candidates)}
    changed: dict[str, Callable[[Account], Account]] = {
        "version": lambda account: replace(account, version=account.version - 1),
        "day": lambda account: replace(account, now=account.now - timedelta(days=1)),
        "one of two": lambda account: replace(account, version=account.version - (account.id == tenants[1])),
        "nothing": lambda account: account,
    }
    accounts = {one: changed[wrong](account) for one, account in accounts.items()}
    accepted = [Ledger(accounts[one.tenant_id]).decide(one) for one in candidates]
    found = [one for one in accepted if isinstance(one, Accepted)]
    written = await submits.insert_jobs(second_sql, found, accounts)
    assert len(found) == 2
    assert [one.behind for one in written] == ([0, 0] if wrong == "nothing" else [])
    sql = "SELECT count(*) FROM jobs WHERE id = ANY($1)"
    jobs = await second_sql.fetchval(sql, [one.command.job_id for one in candidates])
    assert jobs == len(written)
