"""The table of events: batches are stored completely, events are stored unchanged, and old ones are deleted."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from contracts.scheduler.jobs import JobEvent, JobState
from notifier.store.events import EventStore
from tests.integration.notifier.conftest import world_at
from tests.kit.nats import NatsServer
from tests.kit.postgres import database_with_long_timeout
from tests.kit.waiting import until

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture
async def events(database_url: str) -> AsyncIterator[EventStore]:
    database = database_with_long_timeout(database_url)
    yield EventStore(database)
    await database.close()


@pytest.fixture
async def sql(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    yield connection
    await connection.close()


def event(tenant: UUID, job_id: UUID, seq: int, state: JobState, at: datetime = NOW) -> JobEvent:
    return JobEvent(job_id=job_id, tenant_id=tenant, seq=seq, state=state, cause=f"cause {seq}", attempt=1, at=at)


async def test_each_job_event_of_a_batch_is_stored_once_unchanged(events: EventStore, sql: asyncpg.Connection) -> None:
    alice, bob, first, second = (uuid4() for _ in range(4))
    told = [
        event(alice, first, 1, JobState.QUEUED),
        event(bob, second, 1, JobState.QUEUED, NOW + timedelta(seconds=1)),
        event(alice, first, 2, JobState.LEASED, NOW + timedelta(seconds=2)),
        event(alice, first, 3, JobState.RUNNING, NOW + timedelta(seconds=3)),
        event(bob, second, 2, JobState.CANCELLED, NOW + timedelta(seconds=4)),
    ]
    again = [one.model_copy(update={"cause": "somebody says otherwise"}) for one in told[:2]]
    await events.add_events(told)
    await events.add_events(again)
    rows = await sql.fetch(
        "SELECT job_id, seq, tenant_id, state, at FROM job_events WHERE job_id = ANY($1) ORDER BY at", [first, second]
    )
    assert [tuple(row) for row in rows] == [(one.job_id, one.seq, one.tenant_id, one.state, one.at) for one in told]
    assert await events.read_events(first, 0, tenant_id=str(alice), upto=3) == [told[0], told[2], told[3]]
    assert await events.read_events(first, 1, tenant_id=str(alice), upto=2) == [told[2]]
    assert await events.read_events(second, 0, tenant_id=str(bob), upto=9) == [told[1], told[4]]
    assert await events.read_events(first, 0, tenant_id=str(bob), upto=3) == []


async def test_only_events_of_purged_jobs_are_dropped_from_a_batch(events: EventStore) -> None:
    alice, purged, also_purged, kept = (uuid4() for _ in range(4))
    await events.purge_jobs([purged, also_purged])
    await events.add_events([event(alice, job_id, 1, JobState.QUEUED) for job_id in (kept, purged, also_purged)])
    found = {job_id: await events.read_events(job_id, 0, tenant_id=str(alice), upto=1) for job_id in (kept, purged)}
    assert ([one.job_id for one in found[kept]], found[purged]) == ([kept], [])
    assert await events.read_events(also_purged, 0, tenant_id=str(alice), upto=1) == []


async def test_old_events_are_deleted(nats_server: NatsServer, database_url: str, sql: asyncpg.Connection) -> None:
    """Events are deleted after ``keep_days``, and purge records once no stream can still contain events of the job."""
    old, young, purged, purged_long_ago = (uuid4() for _ in range(4))
    plant = "INSERT INTO job_events (job_id, seq, tenant_id, state, body, at) VALUES ($1, 1, $1, 'queued', '{}', $2)"
    bury = "INSERT INTO purged_jobs (job_id, at) VALUES ($1, $2)"
    now = datetime.now(UTC)
    await sql.execute(plant, old, now - timedelta(days=2, minutes=1))
    await sql.execute(plant, young, now - timedelta(days=2) + timedelta(minutes=1))
    await sql.execute(plant, purged, now)
    await sql.execute(bury, purged, now - timedelta(days=3, hours=23))
    await sql.execute(bury, purged_long_ago, now - timedelta(days=4, hours=1))

    async def forgotten() -> bool:
        planted = [old, young, purged, purged_long_ago]
        events = await sql.fetch("SELECT job_id FROM job_events WHERE job_id = ANY($1)", planted)
        graves = await sql.fetch("SELECT job_id FROM purged_jobs WHERE job_id = ANY($1)", planted)
        return ([row["job_id"] for row in events], [row["job_id"] for row in graves]) == ([young], [purged])

    async with world_at(nats_server.url, database_url, keep_days=2):
        await until(forgotten)
