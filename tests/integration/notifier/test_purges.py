"""Events of a purged job are deleted, including events that arrive later."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
from websockets.exceptions import InvalidStatus

from chassis.database.expired_rows import ROWS_PER_TRANSACTION
from contracts.scheduler.jobs import JobState
from contracts.scheduler.purges import JOB_PURGED, JobPurged
from notifier.store.events import EventStore
from tests.integration.notifier.conftest import World
from tests.integration.notifier.test_events import event
from tests.integration.notifier.test_watch import run_job
from tests.kit.postgres import database_with_long_timeout
from tests.kit.waiting import until

OWNER = UUID(int=7)
HELD = 7411  # id of an advisory lock


@pytest.fixture
async def sql(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    yield connection
    await connection.close()


@pytest.mark.requirement("table notifier.purged_jobs")
async def test_late_event_of_a_purged_job_is_dropped(world: World, sql: asyncpg.Connection) -> None:
    async def kept(job_id: UUID) -> int:
        number: int = await sql.fetchval("SELECT count(*) FROM job_events WHERE job_id = $1", job_id)
        return number

    async def purge(job_id: UUID) -> None:
        gone = JobPurged(job_id=job_id, tenant_id=world.script.alice, with_inputs=True, at=datetime.now(UTC))
        subject = JOB_PURGED.subject(str(gone.tenant_id), str(job_id))
        await world.script.bus.jetstream.publish(subject, gone.model_dump_json().encode())

    job_id, other = world.job(), world.job()
    await run_job(world, job_id)
    await run_job(world, other)

    async def all_kept() -> bool:
        return (await kept(job_id), await kept(other)) == (3, 3)

    await until(all_kept)
    log = world.script.scheduler.logs[job_id]
    del world.script.scheduler.jobs[job_id]
    await purge(job_id)

    async def none_kept() -> bool:
        return await kept(job_id) == 0

    await until(none_kept)
    for late in log:  # as by a slow relay, after the purge
        await world.publish(late)
    last = world.job()
    await world.happen(last, JobState.LEASED)

    async def last_kept() -> bool:
        return await kept(last) == 1

    await until(last_kept)
    assert (await kept(job_id), await kept(other)) == (0, 3)
    with pytest.raises(InvalidStatus) as caught:
        async with world.watch(job_id):
            pass
    assert caught.value.response.status_code == 404


@pytest.fixture
async def commits_held(sql: asyncpg.Connection) -> AsyncIterator[None]:
    """A trigger blocks every insert of events right before its commit, while ``sql`` holds an advisory lock."""
    await sql.execute(f"""
        CREATE FUNCTION held() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_advisory_xact_lock_shared({HELD}); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER held AFTER INSERT ON job_events DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION held();
    """)
    await sql.execute(f"SELECT pg_advisory_lock({HELD})")
    yield
    await sql.execute("SELECT pg_advisory_unlock_all()")
    await sql.execute("DROP TRIGGER held ON job_events; DROP FUNCTION held")


@pytest.mark.usefixtures("commits_held")
async def test_event_added_during_a_purge_is_dropped(sql: asyncpg.Connection, database_url: str) -> None:
    """No notifier runs here, because its consumer would block on the lock with events of earlier tests."""

    async def waiting() -> int:
        number: int = await sql.fetchval("""
            SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()
            WHERE l.locktype = 'advisory' AND NOT l.granted
        """)
        return number

    async def addition_waits() -> bool:
        return await waiting() == 1

    async def purge_waits_or_is_done() -> bool:
        return await waiting() == 2 or purging.done()

    job_id = uuid4()
    added = event(uuid4(), job_id, 1, JobState.LEASED)
    database = database_with_long_timeout(database_url, name="notifier")
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(EventStore(database).add_events([added]))
            await until(addition_waits)
            purging = tasks.create_task(EventStore(database).purge_jobs([job_id]))
            await until(purge_waits_or_is_done)
            await sql.execute(f"SELECT pg_advisory_unlock({HELD})")
        assert await sql.fetchval("SELECT count(*) FROM purged_jobs WHERE job_id = $1", job_id) == 1
        assert await sql.fetchval("SELECT count(*) FROM job_events WHERE job_id = $1", job_id) == 0
    finally:
        await database.close()


@pytest.mark.requirement("retention.batches")
async def test_old_events_are_deleted_in_several_batches(sql: asyncpg.Connection, database_url: str) -> None:
    count = 2 * ROWS_PER_TRANSACTION + 1
    await sql.execute(
        """
        INSERT INTO job_events (job_id, seq, tenant_id, state, body, at)
        SELECT gen_random_uuid(), 1, $1, 'queued', '{}',
            now() - make_interval(hours => CASE WHEN n <= $2 THEN 73 ELSE 71 END)
        FROM generate_series(1, $2 + 1) n
        """,
        OWNER, count,
    )  # fmt: skip
    database = database_with_long_timeout(database_url, name="notifier")
    try:
        await EventStore(database).prune_events(older_than=timedelta(days=3))
    finally:
        await database.close()
    assert await sql.fetchval("SELECT count(*) FROM job_events WHERE tenant_id = $1", OWNER) == 1
