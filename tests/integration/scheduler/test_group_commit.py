"""Submits that come together share a transaction, and each has its own verdict all the same."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from nats.js.api import RawStreamMsg
from structlog.testing import capture_logs

from chassis.ids import new_id
from chassis.telemetry.logs import bound
from contracts.registry import JOB_EVENTS
from contracts.scheduler.jobs import JOB_CHANGED
from contracts.scheduler.submissions import SUBMIT_JOB, SubmitJob, SubmitReply
from contracts.wire.errors import Relayed
from tests.integration.scheduler.conftest import COMMON, System, World, build_graph, checked_world, run_system
from tests.kit.nats import NatsServer
from tests.kit.postgres import PostgresServer
from tests.kit.waiting import until

GROUP = 64
ROUNDS = 50
GONE = "gone.safetensors"
AWAY = "service.unavailable"

Asking = tuple[UUID, dict[str, Any]]


@pytest.fixture(scope="module")
async def calm(postgres_server: PostgresServer) -> AsyncIterator[System]:
    """A scheduler that does not ask for limits at every submit, so that what comes together is decided together."""
    server = NatsServer()
    try:
        await server.start()
        url = await postgres_server.database("scheduler")
        async with run_system(server.url, url, lease_s=60, limits_fresh_s=3600) as system:
            yield system
    finally:
        server.remove()


@pytest.fixture
async def world(calm: System) -> AsyncIterator[World]:
    async with checked_world(calm) as world:
        yield world


@pytest.fixture
async def other_sql(calm: System) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(calm.database_url.replace("+asyncpg", ""))
    try:
        yield connection
    finally:
        await connection.close()


async def known(world: World, **limits: Any) -> UUID:
    """A tenant whose limits and counters the scheduler has already: one job of it waits."""
    tenant = world.add_tenant(**limits)
    await world.submit_job(tenant)
    return tenant


def said(answer: SubmitReply | BaseException) -> str:
    """What an answer comes down to."""
    if isinstance(answer, SubmitReply):
        return "replayed" if answer.replayed else "accepted"
    assert isinstance(answer, Relayed), answer
    return answer.refused.code


async def together(world: World, asked: Sequence[Asking]) -> list[str]:
    """What each of many submits was told that were sent at once."""

    async def submit(tenant: UUID, *, model: str = COMMON, **fields: Any) -> SubmitReply:
        values = {"job_id": new_id(), "graph": build_graph(model), "request_hash": "0" * 64} | fields
        return await world.system.bus.request(SUBMIT_JOB, SubmitJob(**values), tenant=str(tenant), within_s=10)

    submits = (submit(tenant, **fields) for tenant, fields in asked)
    return [said(answer) for answer in await asyncio.gather(*submits, return_exceptions=True)]


async def stuck(connection: asyncpg.Connection) -> list[int]:
    """The backends that wait for a lock."""
    sql = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return [row["pid"] for row in await connection.fetch(sql)]


async def until_stuck(connection: asyncpg.Connection) -> None:
    """Wait until a backend waits for a lock."""

    async def waits() -> bool:
        return bool(await stuck(connection))

    await until(waits)


@asynccontextmanager
async def held(connection: asyncpg.Connection, table: str, column: str, tenant: UUID) -> AsyncIterator[None]:
    """A tenant's row that is locked by somebody else."""
    async with connection.transaction():
        await connection.execute(f"SELECT 1 FROM {table} WHERE {column} = $1 FOR UPDATE", tenant)  # noqa: S608
        yield


async def transactions(world: World, tenant: UUID) -> list[int]:
    """How many jobs of a tenant each transaction wrote."""
    sql = "SELECT count(*) AS jobs FROM jobs WHERE tenant_id = $1 GROUP BY xmin::text"
    return [row["jobs"] for row in await world.system.sql.fetch(sql, tenant)]


async def until_stored(world: World, tenant: UUID, jobs: int) -> list[RawStreamMsg]:
    """The newest event of each of a tenant's jobs, once the stream has this many."""
    jetstream, stream = world.system.bus.jetstream, JOB_EVENTS.name
    subjects: list[str] = []

    async def stored() -> bool:
        info = await jetstream.stream_info(stream, subjects_filter=f"{JOB_CHANGED.name}.{tenant}.*")
        subjects[:] = info.state.subjects or {}
        return len(subjects) == jobs

    await until(stored)
    return [await jetstream.get_last_msg(stream, subject, direct=True) for subject in subjects]


async def test_each_of_many_gets_its_own_verdict(world: World) -> None:
    await world.add_node()
    free, poor, full = await known(world), await known(world, images_per_day=4), await known(world, queue_cap=3)
    asked: list[Asking] = []
    for number in range(10):
        asked += [(free, {}), (poor, {}), (full, {}), (free, {"model": GONE})]
        asked += [(free, {"idempotency_key": "same"}), (free, {"idempotency_key": "bad", "request_hash": f"{number}"})]
    answers = await together(world, asked + [(free, {})] * 4)
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


async def test_the_last_image_is_given_once_however_they_are_grouped(world: World) -> None:
    await world.add_node()
    for _ in range(ROUNDS):
        tenant = await known(world, images_per_day=2)
        answers = await together(world, [(tenant, {})] * 30)
        assert Counter(answers) == {"accepted": 1, "quota.images_exceeded": 29}
        assert await world.count_charged_images(tenant) == 2


async def test_what_comes_together_shares_transactions(world: World, other_sql: asyncpg.Connection) -> None:
    await world.add_node()
    tenant, number = await known(world), 150
    async with held(other_sql, "tenants", "id", tenant):
        sent = asyncio.create_task(together(world, [(tenant, {})] * number))
        await until_stuck(other_sql)
    assert await sent == ["accepted"] * number
    found = await transactions(world, tenant)
    assert sum(found) == number + 1
    assert max(found) <= GROUP
    assert len(found) <= number // 8
    events = await until_stored(world, tenant, number + 1)
    assert any("Nats-Batch-Id" in (event.headers or {}) for event in events)  # and so do their events


async def test_a_group_is_one_line_of_the_log(world: World, other_sql: asyncpg.Connection) -> None:
    """Which tells of each job who asked for it; nothing is told of those that were there before."""
    await world.add_node()
    tenant, again = await known(world), new_id()
    await world.submit(tenant, job_id=again)

    async def submit(number: int) -> SubmitReply:
        with bound(request_id=f"id-{number}"):
            return await world.submit(tenant, job_id=again if number == 3 else new_id(), images=2)

    with capture_logs() as logs:
        async with held(other_sql, "tenants", "id", tenant):
            sent = [asyncio.create_task(submit(number)) for number in range(10)]
            await until_stuck(other_sql)
        answers = [await one for one in sent]
    lines = [line["jobs"] for line in logs if line["event"] == "scheduler.jobs.submitted"]
    assert 1 <= len(lines) <= 5
    assert sorted((job["request_id"], job["job_id"]) for line in lines for job in line) == [
        (f"id-{number}", str(answer.job.job_id)) for number, answer in enumerate(answers) if number != 3
    ]
    assert {(job["tenant"], job["images"]) for line in lines for job in line} == {(str(tenant), 2)}


async def test_a_group_decides_in_the_order_of_coming(world: World, other_sql: asyncpg.Connection) -> None:
    await world.add_node()
    tenant = await known(world)
    priorities = (0, 5, -5, 0, 5)
    async with held(other_sql, "tenants", "id", tenant):
        jobs = [asyncio.create_task(world.submit(tenant, priority=priority)) for priority in priorities]
        await until_stuck(other_sql)
    positions = [(await job).job.queue_position for job in jobs]
    assert positions == [2, 1, 4, 4, 2]


@pytest.mark.requirement("F-10")
async def test_who_is_locked_holds_up_nobody_else(world: World, other_sql: asyncpg.Connection) -> None:
    await world.add_node()
    locked, free = await known(world), await known(world)
    async with held(other_sql, "tenants", "id", locked):
        waiting = asyncio.create_task(together(world, [(locked, {})] * 5))
        await until_stuck(other_sql)
        assert await together(world, [(free, {}), (locked, {}), (free, {})][::2]) == ["accepted"] * 2
        assert not waiting.done()
    assert await waiting == ["accepted"] * 5


async def test_one_that_cannot_be_written_spoils_no_other(world: World, other_sql: asyncpg.Connection) -> None:
    await world.add_node()
    tenant, stranger = await known(world), world.add_tenant()
    taken = await world.submit_job(stranger)
    asked: list[Asking] = [(tenant, {}) for _ in range(10)]
    asked[3], asked[7] = (tenant, {"job_id": taken}), (tenant, {"labels": {"a": "\x00"}})
    async with held(other_sql, "tenants", "id", tenant):
        sent = asyncio.create_task(together(world, asked))
        await until_stuck(other_sql)
    answers = await sent
    assert (answers.pop(7), answers.pop(3)) == ("message.invalid", "internal")
    assert answers == ["accepted"] * 8
    assert await world.read_counters(tenant) == (9, 0)


async def kill_stuck(connection: asyncpg.Connection) -> int:
    """End the connections that wait for a lock; how many there were."""
    pids = await stuck(connection)
    return sum([await connection.fetchval("SELECT pg_terminate_backend($1, 5000)", pid) for pid in pids])


@pytest.mark.requirement("F-3", "F-91")
async def test_a_connection_that_dies_in_the_middle_is_tried_again(world: World, other_sql: asyncpg.Connection) -> None:
    await world.add_node()
    tenant = await known(world)
    async with held(other_sql, "usage_days", "tenant_id", tenant):  # the jobs are written, their images are not
        sent = asyncio.create_task(together(world, [(tenant, {})] * 20))
        await until_stuck(other_sql)
        assert await kill_stuck(other_sql)
    assert await sent == ["accepted"] * 20
    assert (await world.read_counters(tenant), await world.count_charged_images(tenant)) == ((21, 0), 21)


@pytest.mark.requirement("F-1", "F-99")
async def test_connections_that_die_again_and_again_leave_nothing_behind(
    world: World, other_sql: asyncpg.Connection
) -> None:
    await world.add_node()
    tenant = await known(world)
    asked: list[Asking] = [(tenant, {"job_id": new_id()}) for _ in range(20)]
    async with held(other_sql, "usage_days", "tenant_id", tenant):
        sent = asyncio.create_task(together(world, asked))

        async def answered() -> bool:
            await kill_stuck(other_sql)
            return sent.done()

        await until(answered)
        assert sent.result() == [AWAY] * 20
        assert (await world.read_counters(tenant), await world.count_charged_images(tenant)) == ((1, 0), 1)
    assert await together(world, asked) == ["accepted"] * 20
    assert await together(world, asked) == ["replayed"] * 20
    assert (await world.read_counters(tenant), await world.count_charged_images(tenant)) == ((21, 0), 21)
