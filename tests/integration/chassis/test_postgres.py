"""Which database errors mean that a retry can help."""

from collections.abc import AsyncIterator

import pytest

from chassis.database.postgres import Database, is_unavailable
from tests.kit.postgres import PostgresServer

IMPATIENT = "SET LOCAL lock_timeout = '20ms'"
LOCK = "SELECT pg_advisory_xact_lock(4711)"


@pytest.fixture
async def database(postgres_server: PostgresServer) -> AsyncIterator[Database]:
    opened = Database(await postgres_server.database("scheduler"), name="test")
    yield opened
    await opened.close()


async def run(database: Database, *statements: str) -> None:
    async with database.direct() as connection:
        for statement in statements:
            await connection.execute(statement)


@pytest.mark.requirement("F-88")
async def test_lock_timeout_is_retryable(database: Database) -> None:
    async with database.direct() as holder:
        await holder.execute(LOCK)
        with pytest.raises(Exception, match="lock timeout") as raised:
            await run(database, IMPATIENT, LOCK)
    assert is_unavailable(raised.value)


async def test_invalid_statement_raises(database: Database) -> None:
    with pytest.raises(Exception, match="division by zero") as raised:
        await run(database, "SELECT 1/0")
    assert not is_unavailable(raised.value)
