"""Concurrent changes of one user."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
import pytest

from chassis.messaging.bus import Bus
from contracts.auth.fields import Done
from contracts.auth.keys import REVOKE_KEY, RevokeKey
from contracts.auth.sessions import END_SESSION, EndSession
from tests.integration.auth.conftest import Person, System, login, session_id
from tests.integration.auth.people import somebody
from tests.kit.waiting import until

WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%FOR UPDATE%'
"""


@asynccontextmanager
async def while_its_tier_changes(sql: asyncpg.Pool, user_id: UUID) -> AsyncIterator[None]:
    """Lock the user by a change of its tier, and commit it once a request of the block waits for the lock."""
    async with sql.acquire() as connection, connection.transaction():
        await connection.execute("UPDATE users SET tier = 'pro' WHERE id = $1", user_id)
        yield

        async def waits() -> bool:
            return bool(await sql.fetchval(WAITING))

        await until(waits)


@pytest.mark.requirement("S-46")
async def test_logout_concurrent_with_a_tier_change_takes_effect(bus: Bus, sql: asyncpg.Pool, person: Person) -> None:
    ended = session_id(await login(bus, person))
    async with while_its_tier_changes(sql, person.id):
        asking = asyncio.create_task(bus.request(END_SESSION, EndSession(session_id=ended), tenant=person.tenant))
    await asking
    assert await sql.fetchval("SELECT ended_at FROM sessions WHERE id = $1", ended) is not None


@pytest.mark.requirement("S-23")
async def test_key_revocation_concurrent_with_a_tier_change_takes_effect(system: System) -> None:
    user = await somebody(system)
    made = await user.make_key()
    async with while_its_tier_changes(system.sql, user.id):
        asking = asyncio.create_task(user.ask(REVOKE_KEY, RevokeKey(key_id=made.key.id)))
    assert await asking == Done()
