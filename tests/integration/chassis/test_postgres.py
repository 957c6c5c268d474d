"""Which database errors mean that a retry can help, and transactions whose reply to COMMIT is lost."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from chassis.database.postgres import UNAVAILABLE_ERRORS, CommitUnknown, Database, is_unavailable
from chassis.database.url import DatabaseUrl
from tests.kit.commit_faults import CommitFaults, running_faults
from tests.kit.postgres import PostgresServer, database_with_long_timeout, open_connections
from tests.kit.waiting import until

IMPATIENT = "SET LOCAL lock_timeout = '20ms'"
LOCK = "SELECT pg_advisory_xact_lock(4711)"
WRITE = "SELECT pg_current_xact_id()"  # the smallest statement that writes
PATIENCE_S = 20.0
ADD = "INSERT INTO outbox (message_id, subject, body) VALUES (gen_random_uuid(), $1, $2)"


@pytest.fixture
async def database(postgres_server: PostgresServer) -> AsyncIterator[Database]:
    opened = database_with_long_timeout(await postgres_server.create_database("scheduler"))
    yield opened
    await opened.close()


@pytest.fixture
async def faults(postgres_server: PostgresServer) -> AsyncIterator[CommitFaults]:
    async with running_faults(await postgres_server.create_database("scheduler")) as faults:
        yield faults


@pytest.fixture
async def faulty(faults: CommitFaults) -> AsyncIterator[Database]:
    """A database connected through ``faults``, with one open connection."""
    opened = Database(faults.url, name="faulty", connect_timeout_s=PATIENCE_S)
    await open_connections(opened)
    yield opened
    await opened.close()


async def add_row(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(ADD, "evt.a", b"")


async def count_rows(database: Database) -> int:
    async with database.connection() as connection:
        number: int = await connection.fetchval("SELECT count(*) FROM outbox")
    return number


async def commit_up_to(transaction_id: int, server: PostgresServer) -> None:
    """Commit transactions on a server until one has this transaction id."""
    url = f"postgresql://postgres:{server.password}@127.0.0.1:{server.port}/postgres"
    opened = Database(url, name="writer", connect_timeout_s=PATIENCE_S)
    try:
        async with opened.connection() as connection:
            await connection.execute(
                f"DO $$ BEGIN WHILE pg_current_xact_id() < '{transaction_id}' LOOP COMMIT; END LOOP; END $$"
            )
            outcome = await connection.fetchval("SELECT pg_xact_status($1::text::xid8)", str(transaction_id))
            assert outcome == "committed"
    finally:
        await opened.close()


async def run(database: Database, *statements: str) -> None:
    async with database.transaction() as connection:
        for statement in statements:
            await connection.execute(statement)


@pytest.mark.requirement("F-88")
async def test_lock_timeout_is_retryable(database: Database) -> None:
    async with database.transaction() as holder:
        await holder.execute(LOCK)
        with pytest.raises(Exception, match="lock timeout") as raised:
            await run(database, IMPATIENT, LOCK)
    assert is_unavailable(raised.value)


async def test_invalid_statement_raises(database: Database) -> None:
    with pytest.raises(Exception, match="division by zero") as raised:
        await run(database, "SELECT 1/0")
    assert not is_unavailable(raised.value)


async def test_next_host_is_used_if_the_first_does_not_answer(postgres_server: PostgresServer) -> None:
    url = DatabaseUrl.parse(await postgres_server.create_database("scheduler"))
    (working,) = url.hosts
    opened = database_with_long_timeout(replace(url, hosts=(("127.0.0.1", 1), working)))
    await opened.probe()
    await opened.close()


async def test_database_opens_at_most_its_configured_number_of_connections(postgres_server: PostgresServer) -> None:
    opened = database_with_long_timeout(await postgres_server.create_database("scheduler"), name="counted", pool_size=3)

    async def work() -> None:
        async with opened.transaction() as connection:
            await connection.execute("SELECT pg_sleep(0.01)")

    async def are_three_open() -> bool:  # the connection that read the settings ends later
        async with opened.connection() as connection:
            sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'counted'"
            return bool(await connection.fetchval(sql) == 3)

    await asyncio.gather(*(work() for _ in range(20)))
    await until(are_three_open)
    await opened.close()


@pytest.mark.requirement("F-94")
async def test_transaction_succeeds_if_only_the_reply_to_its_commit_is_lost(
    faults: CommitFaults, faulty: Database
) -> None:
    faults.cut_commit(ADD, when="after")
    await add_row(faulty)
    assert faults.has_cut
    assert await count_rows(faulty) == 1


@pytest.mark.requirement("F-94")
async def test_transaction_whose_commit_is_lost_fails_and_leaves_nothing(
    faults: CommitFaults, faulty: Database
) -> None:
    faults.cut_commit(ADD, when="before")
    with pytest.raises(Exception, match="connection") as raised:
        await add_row(faulty)
    assert faults.has_cut
    assert is_unavailable(raised.value)
    assert not isinstance(raised.value, CommitUnknown)
    assert await count_rows(faulty) == 0


@pytest.mark.requirement("F-94")
async def test_outcome_is_unknown_if_the_database_stays_away_after_a_lost_commit_reply(faults: CommitFaults) -> None:
    opened = Database(faults.url, name="impatient")
    try:
        await open_connections(opened)
        faults.cut_commit(ADD, when="after")
        faults.refuses_connections = True
        with pytest.raises(CommitUnknown) as raised:
            await add_row(opened)
        assert faults.has_cut
        assert is_unavailable(raised.value)
        faults.refuses_connections = False
        await open_connections(opened)
        assert await count_rows(opened) == 1
    finally:
        await opened.close()


@pytest.mark.requirement("F-94")
async def test_outcome_is_unknown_if_the_server_crashed_after_a_lost_commit_reply() -> None:
    """A crash of one backend restarts all backends, but not the postmaster."""
    server = PostgresServer()
    await server.create()
    url = await server.create_database("scheduler")
    faults, direct = CommitFaults(url), Database(url, name="direct", connect_timeout_s=PATIENCE_S)
    opened = Database(faults.url, name="crash", connect_timeout_s=PATIENCE_S)
    try:
        await faults.start()
        await open_connections(opened)
        faults.cut_commit(ADD, when="after")
        faults.refuses_connections = True
        adding = asyncio.create_task(add_row(opened))

        async def is_committed() -> bool:
            return await count_rows(direct) == 1

        await until(is_committed)
        async with direct.connection() as connection:
            os.kill(connection.get_server_pid(), signal.SIGKILL)
            with pytest.raises((OSError, asyncpg.PostgresError)):
                await connection.execute("SELECT pg_sleep(60)")
        await open_connections(direct)
        faults.refuses_connections = False
        with pytest.raises(CommitUnknown):
            await adding
        assert faults.has_cut
    finally:
        await opened.close()
        await direct.close()
        faults.stop()
        server.remove()


@pytest.mark.requirement("F-94")
@pytest.mark.parametrize("has_reused_id", [False, True], ids=["id is unused", "id is reused"])
async def test_transaction_that_a_failover_lost_never_counts_as_committed(
    postgres_server: PostgresServer, *, has_reused_id: bool
) -> None:
    """The new server is like a replica that lagged behind: it lacks the last transactions and may commit others."""
    successor = PostgresServer(postgres_server.password)
    parts = urlsplit(await postgres_server.create_database("scheduler"))
    faults = CommitFaults(urlunsplit(parts._replace(path="/postgres")))  # exists on both servers
    opened = Database(faults.url, name="failover", pool_size=1, connect_timeout_s=PATIENCE_S)
    try:
        await successor.create()
        await faults.start()
        for _ in range(100):
            async with opened.connection() as connection:
                await connection.execute(WRITE)

        async def write() -> None:
            async with opened.transaction() as connection:
                transaction_id = await connection.fetchval(WRITE)
                if has_reused_id:
                    await commit_up_to(transaction_id, successor)
                faults.cut_commit(WRITE, when="after")
                faults.fail_over(successor.port)

        with pytest.raises(UNAVAILABLE_ERRORS) as raised:
            await write()
        assert faults.has_cut
        assert isinstance(raised.value, CommitUnknown) is has_reused_id
    finally:
        await opened.close()
        faults.stop()
        successor.remove()


async def test_listening_resumes_after_a_silent_loss_of_its_connection(postgres_server: PostgresServer) -> None:
    url = await postgres_server.create_database("scheduler")
    sql = await asyncpg.connect(url.replace("+asyncpg", ""))
    heard: list[str] = []

    async def hears(payload: str) -> bool:
        await sql.execute("SELECT pg_notify('channel', $1)", payload)
        return payload in heard

    async with running_faults(url) as faults:
        database = Database(faults.url, name="listener", connect_timeout_s=PATIENCE_S, listen_check_s=2.5)
        listening = asyncio.create_task(database.listen({"channel": heard.append}))
        await until(lambda: hears("before"))
        faults.silence_sessions()
        await until(lambda: hears("after"), within_s=60)
        listening.cancel()
        await asyncio.wait({listening})
        await database.close()
    assert heard.count("") >= 2, "the callback is told after each connection that notifications may be missing"
    await sql.close()
