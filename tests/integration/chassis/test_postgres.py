"""Which database errors mean that a retry can help."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from chassis.database.postgres import Database, is_unavailable
from chassis.database.url import DatabaseUrl
from tests.kit.postgres import PostgresServer, open_connections
from tests.kit.waiting import until

IMPATIENT = "SET LOCAL lock_timeout = '20ms'"
LOCK = "SELECT pg_advisory_xact_lock(4711)"


@pytest.fixture
async def database(postgres_server: PostgresServer) -> AsyncIterator[Database]:
    opened = Database(await postgres_server.create_database("scheduler"), name="test")
    await open_connections(opened, 2)
    yield opened
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
    opened = Database(replace(url, hosts=(("127.0.0.1", 1), working)), name="test", pool_size=2)
    await open_connections(opened)
    await opened.close()


async def test_database_opens_at_most_its_configured_number_of_connections(postgres_server: PostgresServer) -> None:
    opened = Database(await postgres_server.create_database("scheduler"), name="counted", pool_size=3)

    async def work() -> bool:
        try:
            async with opened.transaction() as connection:
                await connection.execute("SELECT pg_sleep(0.01)")
        except TimeoutError:  # it waited too long for a connection
            return False
        return True

    async def all_work() -> bool:
        return all(await asyncio.gather(*(work() for _ in range(20))))

    async def are_three_open() -> bool:  # the connection that read the settings ends later
        async with opened.connection() as connection:
            sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'counted'"
            return bool(await connection.fetchval(sql) == 3)

    await until(all_work)
    await until(are_three_open)
    await opened.close()
