"""Group commit: concurrent submits share a transaction, and each gets its own decision."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from structlog.testing import capture_logs

from chassis.ids import new_id
from chassis.telemetry.logs import log_context
from contracts.scheduler.jobs import JobState
from contracts.scheduler.submissions import SUBMIT_JOB, SubmitJob, SubmitReply
from contracts.wire.errors import RelayedRefusal, Unavailable
from scheduler.store.tenants import lock_quota_groups
from tests.integration.scheduler.conftest import COMMON, System, World, build_graph, checked_world, run_system
from tests.kit.nats import running_nats
from tests.kit.postgres import PostgresServer
from tests.kit.waiting import until

GROUP = 64
ROUNDS = 50
GONE = "gone.safetensors"
AWAY = "service.unavailable"

Asking = tuple[UUID, dict[str, Any]]


@pytest.fixture(scope="module")
async def cached_system(postgres_server: PostgresServer) -> AsyncIterator[System]:
    """A scheduler that caches limits, so that concurrent submits are decided together."""
    async with running_nats() as server:
        url = await postgres_server.create_database("scheduler")
        async with run_system(server.url, url, lease_s=60, limits_fresh_s=3600) as system:
            yield system


@pytest.fixture
async def world(cached_system: System) -> AsyncIterator[World]:
    async with checked_world(cached_system) as world:
        yield world


@pytest.fixture
async def other_sql(cached_system: System) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(cached_system.database_url.replace("+asyncpg", ""))
    try:
        yield connection
    finally:
        await connection.close()


async def add_known_tenant(world: World, **limits: Any) -> UUID:
    """Add a tenant and submit one job, so that the scheduler has cached its limits."""
    tenant = world.add_tenant(**limits)
    await world.submit_job(tenant)
    return tenant


def outcome_of(answer: SubmitReply | BaseException) -> str:
    """Return "accepted", "replayed" or the code of the refusal."""
    if isinstance(answer, SubmitReply):
        return "replayed" if answer.replayed else "accepted"
    assert isinstance(answer, RelayedRefusal), answer
    return answer.details.code


async def submit_concurrently(world: World, asked: Sequence[Asking]) -> list[str]:
    """Submit all commands concurrently and return the outcome of each."""

    async def submit(tenant: UUID, *, model: str = COMMON, **fields: Any) -> SubmitReply:
        values = {"job_id": new_id(), "graph": build_graph(model), "request_hash": "0" * 64} | fields
        return await world.system.bus.request(SUBMIT_JOB, SubmitJob(**values), tenant=str(tenant))

    submits = (submit(tenant, **fields) for tenant, fields in asked)
    return [outcome_of(answer) for answer in await asyncio.gather(*submits, return_exceptions=True)]


async def list_blocked_backends(connection: asyncpg.Connection) -> list[int]:
    """List the process ids of backends that wait for a lock."""
    sql = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return [row["pid"] for row in await connection.fetch(sql)]


async def wait_until_blocked(connection: asyncpg.Connection) -> None:
    """Wait until a backend waits for a lock."""

    async def waits() -> bool:
        return bool(await list_blocked_backends(connection))

    await until(waits)


@asynccontextmanager
async def locked_row(connection: asyncpg.Connection, table: str, column: str, tenant: UUID) -> AsyncIterator[None]:
    """Lock a tenant's row during the block."""
    async with connection.transaction():
        await connection.execute(f"SELECT 1 FROM {table} WHERE {column} = $1 FOR UPDATE", tenant)  # noqa: S608
        yield


async def count_jobs_per_transaction(world: World, tenant: UUID) -> list[int]:
    """Count the jobs of a tenant that each transaction wrote."""
    sql = "SELECT count(*) AS jobs FROM jobs WHERE tenant_id = $1 GROUP BY xmin::text"
    return [row["jobs"] for row in await world.system.sql.fetch(sql, tenant)]


async def test_each_submit_of_a_group_gets_its_own_decision(world: World) -> None:
    await world.add_node()
    free, poor = await add_known_tenant(world), await add_known_tenant(world, images_per_day=4)
    full = await add_known_tenant(world, queue_cap=3)
    asked: list[Asking] = []
    for number in range(10):
        asked += [(free, {}), (poor, {}), (full, {}), (free, {"model": GONE})]
        asked += [(free, {"idempotency_key": "same"}), (free, {"idempotency_key": "bad", "request_hash": f"{number}"})]
    answers = await submit_concurrently(world, asked + [(free, {})] * 4)
    told = {
        kind: Counter(answers[start:60:6])
        for start, kind in enumerate(("free", "poor", "full", "gone", "same", "reused"))
    }
    assert told == {
        "free": {"accepted": 10},
        "poor": {"accepted": 3, "quota.images_exceeded": 7},
        "full": {"accepted": 2, "quota.queue_full": 8},
        "gone": {"workflow.invalid": 10},
        "same": {"accepted": 1, "replayed": 9},
        "reused": {"accepted": 1, "idempotency.key_reused": 9},
    }
    assert answers[60:] == ["accepted"] * 4
    assert await world.read_counters(free) == (1 + 10 + 1 + 1 + 4, 0)
    assert (await world.count_charged_images(poor), await world.read_counters(full)) == (4, (3, 0))


async def test_last_image_is_given_once_to_concurrent_submits(world: World) -> None:
    await world.add_node()
    for _ in range(ROUNDS):
        tenant = await add_known_tenant(world, images_per_day=2)
        answers = await submit_concurrently(world, [(tenant, {})] * 30)
        assert Counter(answers) == {"accepted": 1, "quota.images_exceeded": 29}
        assert await world.count_charged_images(tenant) == 2


async def test_concurrent_submits_share_transactions(world: World, other_sql: asyncpg.Connection) -> None:
    await world.add_node()
    tenant, other, number = await add_known_tenant(world), await add_known_tenant(world), 150
    async with locked_row(other_sql, "tenants", "id", tenant):
        sent = asyncio.create_task(submit_concurrently(world, [(tenant, {})] * number))
        await wait_until_blocked(other_sql)
        # This submit is decided after all others have arrived, but does not wait for the lock.
        assert await submit_concurrently(world, [(other, {})]) == ["accepted"]
    assert await sent == ["accepted"] * number
    found = await count_jobs_per_transaction(world, tenant)
    assert sum(found) == number + 1
    assert max(found) <= GROUP
    assert len(found) <= number // 8


async def test_each_job_of_a_group_commit_is_logged_with_its_request_id(
    world: World, other_sql: asyncpg.Connection
) -> None:
    """Each log line has the request id of its job; replayed jobs are not logged."""
    await world.add_node()
    tenant, again = await add_known_tenant(world), new_id()
    await world.submit(tenant, job_id=again)

    async def submit(number: int) -> SubmitReply:
        with log_context(request_id=f"id-{number}"):
            return await world.submit(tenant, job_id=again if number == 3 else new_id(), images=2)

    with capture_logs() as logs:
        async with locked_row(other_sql, "tenants", "id", tenant):
            sent = [asyncio.create_task(submit(number)) for number in range(10)]
            await wait_until_blocked(other_sql)
        answers = [await one for one in sent]
    lines = [line for line in logs if line["event"] == "scheduler.job.admitted"]
    assert sorted((line["request_id"], line["job_id"]) for line in lines) == [
        (f"id-{number}", str(answer.job.job_id)) for number, answer in enumerate(answers) if number != 3
    ]
    assert {(line["tenant_id"], line["images"]) for line in lines} == {(str(tenant), 2)}


async def test_submissions_of_a_group_are_decided_in_order_of_arrival(
    world: World, other_sql: asyncpg.Connection
) -> None:
    await world.add_node()
    tenant = await add_known_tenant(world)
    priorities = (0, 5, -5, 0, 5)
    async with locked_row(other_sql, "tenants", "id", tenant):
        jobs = [asyncio.create_task(world.submit(tenant, priority=priority)) for priority in priorities]
        await wait_until_blocked(other_sql)
    positions = [(await job).job.queue_position for job in jobs]
    assert positions == [2, 1, 4, 4, 2]


@pytest.mark.requirement("F-10")
async def test_locked_tenant_does_not_delay_other_tenants(world: World, other_sql: asyncpg.Connection) -> None:
    await world.add_node()
    locked, free = await add_known_tenant(world), await add_known_tenant(world)
    async with locked_row(other_sql, "tenants", "id", locked):
        waiting = asyncio.create_task(submit_concurrently(world, [(locked, {})] * 5))
        await wait_until_blocked(other_sql)
        assert await submit_concurrently(world, [(free, {}), (locked, {}), (free, {})][::2]) == ["accepted"] * 2
        assert not waiting.done()
    assert await waiting == ["accepted"] * 5


async def test_refusals_and_replays_wait_for_no_lock(world: World, other_sql: asyncpg.Connection) -> None:
    await world.add_node()
    tenant, again = world.add_tenant(queue_cap=1), new_id()
    await world.submit(tenant, job_id=again)
    async with locked_row(other_sql, "tenants", "id", tenant):
        answers = await submit_concurrently(world, [(tenant, {}), (tenant, {"job_id": again})])
    assert answers == ["quota.queue_full", "replayed"]


async def test_invalid_submit_does_not_fail_its_group(world: World, other_sql: asyncpg.Connection) -> None:
    await world.add_node()
    tenant, stranger = await add_known_tenant(world), world.add_tenant()
    taken = await world.submit_job(stranger)
    asked: list[Asking] = [(tenant, {}) for _ in range(10)]
    asked[3], asked[7] = (tenant, {"job_id": taken}), (tenant, {"labels": {"a": "\x00"}})
    async with locked_row(other_sql, "tenants", "id", tenant):
        sent = asyncio.create_task(submit_concurrently(world, asked))
        await wait_until_blocked(other_sql)
    answers = await sent
    assert (answers.pop(7), answers.pop(3)) == ("message.invalid", "internal")
    assert answers == ["accepted"] * 8
    assert await world.read_counters(tenant) == (9, 0)


async def kill_blocked_backends(connection: asyncpg.Connection) -> int:
    """Terminate the backends that wait for a lock; return their number."""
    pids = await list_blocked_backends(connection)
    return sum([await connection.fetchval("SELECT pg_terminate_backend($1, 5000)", pid) for pid in pids])


async def test_concurrent_submissions_never_exceed_the_shared_quota_of_their_group(
    world: World, other_sql: asyncpg.Connection
) -> None:
    await world.add_node()
    first, second = [world.add_tenant(images_per_day=3) for _ in range(2)]
    world.system.auth.groups.update(dict.fromkeys((first, second), uuid4()))
    for tenant in (first, second):
        await world.submit_job(tenant)
    charge = "UPDATE usage_days SET images = images + $2 WHERE tenant_id = $1"
    async with other_sql.transaction():
        assert await lock_quota_groups(other_sql, [second], wait_for_locks=True) == {second}
        sent = asyncio.create_task(submit_concurrently(world, [(first, {})]))
        await wait_until_blocked(other_sql)
        await other_sql.execute(charge, second, 1)
    assert await sent == ["quota.images_exceeded"]
    await other_sql.execute(charge, second, -1)
    assert await submit_concurrently(world, [(first, {}), (second, {})]) in (
        ["accepted", "quota.images_exceeded"],
        ["quota.images_exceeded", "accepted"],
    )


async def test_submit_of_an_erased_tenant_does_not_fail_its_group(world: World, other_sql: asyncpg.Connection) -> None:
    """The limits of the tenant are still cached."""
    await world.add_node()
    tenant, erased = await add_known_tenant(world), world.add_tenant(queue_cap=0)
    assert await submit_concurrently(world, [(erased, {})]) == ["quota.queue_full"]
    await other_sql.execute("DELETE FROM tenants WHERE id = $1", erased)
    answers = await submit_concurrently(world, [(tenant, {}), (erased, {}), (tenant, {})] * 3)
    assert answers == ["accepted", "auth.tenant.unknown", "accepted"] * 3


@pytest.mark.requirement("F-3", "F-91")
async def test_group_of_submissions_is_decided_again_after_its_connection_dies(
    world: World, other_sql: asyncpg.Connection
) -> None:
    await world.add_node()
    tenant = await add_known_tenant(world)
    async with locked_row(other_sql, "usage_days", "tenant_id", tenant):  # before images are charged
        sent = asyncio.create_task(submit_concurrently(world, [(tenant, {})] * 20))
        await wait_until_blocked(other_sql)
        assert await kill_blocked_backends(other_sql)
    assert await sent == ["accepted"] * 20
    assert (await world.read_counters(tenant), await world.count_charged_images(tenant)) == ((21, 0), 21)


async def test_committed_job_is_accepted_without_an_estimate_when_the_run_times_cannot_be_read(
    postgres_server: PostgresServer,
) -> None:
    """A new scheduler reads the run times at the first submission; the test kills that connection."""
    async with running_nats() as server:
        url = await postgres_server.create_database("scheduler")
        async with run_system(server.url, url, lease_s=60) as system, checked_world(system) as world:
            await world.add_node()
            tenant = world.add_tenant()
            async with system.sql.acquire() as sql, sql.transaction():
                await sql.execute("LOCK TABLE run_times IN ACCESS EXCLUSIVE MODE")
                sent = asyncio.create_task(world.submit(tenant))
                killed = 0

                async def is_answered() -> bool:
                    nonlocal killed
                    killed += await kill_blocked_backends(sql)
                    return sent.done()

                await until(is_answered)
            reply = sent.result()
            assert killed
            assert (reply.replayed, reply.job.state, reply.job.queue_position) == (False, JobState.QUEUED, None)
            assert (await world.read_job(tenant, reply.job.job_id)).queue_position == 1


@pytest.mark.requirement("F-1", "F-99")
async def test_submissions_leave_nothing_behind_after_repeated_connection_failures(
    world: World, other_sql: asyncpg.Connection
) -> None:
    await world.add_node()
    tenant = await add_known_tenant(world)
    asked: list[Asking] = [(tenant, {"job_id": new_id()}) for _ in range(20)]
    async with locked_row(other_sql, "usage_days", "tenant_id", tenant):
        sent = asyncio.create_task(submit_concurrently(world, asked))

        async def answered() -> bool:
            await kill_blocked_backends(other_sql)
            return sent.done()

        await until(answered)
        assert sent.result() == [AWAY] * 20
        assert (await world.read_counters(tenant), await world.count_charged_images(tenant)) == ((1, 0), 1)
    assert await submit_concurrently(world, asked) == ["accepted"] * 20
    assert await submit_concurrently(world, asked) == ["replayed"] * 20
    assert (await world.read_counters(tenant), await world.count_charged_images(tenant)) == ((21, 0), 21)


@pytest.mark.requirement("O-11")
async def test_submit_is_not_accepted_after_its_deadline(world: World, other_sql: asyncpg.Connection) -> None:
    """The first submit waits for the tenant's lock, the second for the first; both exceed their deadline."""
    await world.add_node()
    tenant = await add_known_tenant(world)

    async def submit(key: str, within_s: float) -> SubmitReply:
        command = SubmitJob(job_id=new_id(), graph=build_graph(COMMON), request_hash="0" * 64, idempotency_key=key)
        return await world.system.bus.request(SUBMIT_JOB, command, tenant=str(tenant), within_s=within_s)

    def submit_both() -> asyncio.Future[list[SubmitReply | BaseException]]:
        return asyncio.gather(*(submit(key, 0.5) for key in ("first", "second")), return_exceptions=True)

    async with locked_row(other_sql, "tenants", "id", tenant):
        given_up = submit_both()

        async def is_blocked() -> bool:
            nonlocal given_up
            if given_up.done():  # after a pause of the machine they may expire before they wait
                given_up = submit_both()
            return bool(await list_blocked_backends(other_sql))

        await until(is_blocked)
        asked_at = time.monotonic()
        assert [type(answer) for answer in await given_up] == [Unavailable, Unavailable]
        await until(lambda: time.monotonic() > asked_at + 1.5)
    replies = [await submit(key, 10) for key in ("first", "second", "first")]
    assert [reply.replayed for reply in replies] == [False, False, True]
    assert await world.read_counters(tenant) == (3, 0)
