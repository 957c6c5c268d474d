"""Reads of a tenant's cached limits while a change of them is being saved."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

import pytest

from chassis.database.postgres import Database
from contracts.auth.accounts import Role
from contracts.auth.changes import USER_CHANGED, UserChanged
from contracts.auth.tiers import TIER_CHANGED, Tier
from contracts.permissions import inbox_prefix
from scheduler.consumers import follow_tenant_changes
from scheduler.usecases.tenant_limits import TenantLimits
from tests.integration.scheduler.conftest import UNLIMITED, Auth
from tests.kit.calling_bus import LongTimeoutBus, UnreliableBus
from tests.kit.nats import NatsServer, running_nats
from tests.kit.postgres import PostgresServer, database_with_long_timeout
from tests.kit.waiting import until

TENANT = UUID("0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee")
LOCK_TENANT = "SELECT FROM tenants WHERE id = $1 FOR UPDATE"
COUNT_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
OLD, NEW = (UNLIMITED.model_copy(update={"queue_cap": cap}) for cap in (7, 3))


@pytest.fixture
async def nats() -> AsyncIterator[NatsServer]:
    async with running_nats() as server:
        yield server


@pytest.fixture
async def database(postgres_server: PostgresServer) -> AsyncIterator[Database]:
    opened = database_with_long_timeout(await postgres_server.create_database("scheduler"))
    yield opened
    await opened.close()


@pytest.fixture
async def auth(nats: NatsServer) -> AsyncIterator[Auth]:
    auth = Auth(nats.url)
    auth.limits[TENANT] = OLD
    await auth.start()
    yield auth
    await auth.stop()


@pytest.fixture
async def limits(nats: NatsServer, auth: Auth, database: Database) -> AsyncIterator[TenantLimits]:
    """Limits that are cached as ``OLD``."""
    bus = LongTimeoutBus(nats.url, name="scheduler", user=None, password=None, inbox_prefix=inbox_prefix("scheduler"))
    await bus.start()
    limits = TenantLimits(database, bus, fresh_s=3600)
    assert await limits.refresh_limits(TENANT) == OLD
    assert auth.asked == 1
    yield limits
    await bus.stop()


async def count_waiting(database: Database) -> int:
    """Count the transactions that wait for a lock."""
    async with database.connection() as connection:
        number: int = await connection.fetchval(COUNT_WAITING)
    return number


async def test_failed_subscription_to_tenant_changes_is_retried(nats: NatsServer, database: Database) -> None:
    bus = UnreliableBus(nats.url, name="scheduler")
    loop = follow_tenant_changes(bus, TenantLimits(database, bus, fresh_s=3600))
    try:
        await bus.start()
        loop.start()
        await until(lambda: bus.topics == [USER_CHANGED, TIER_CHANGED])
    finally:
        await loop.stop()
        await bus.stop()


async def test_old_limits_are_not_cached_beyond_a_change_that_is_being_saved(
    limits: TenantLimits, auth: Auth, database: Database
) -> None:
    await auth.stop()
    async with database.transaction() as holder:
        await holder.execute(LOCK_TENANT, TENANT)
        saving = asyncio.create_task(limits.apply_change(_build_change()))

        async def is_saving() -> bool:
            return await count_waiting(database) == 1

        await until(is_saving)
        assert await limits.refresh_limits(TENANT) == OLD
    await saving
    assert await limits.refresh_limits(TENANT) == NEW


async def test_new_limits_are_requested_from_auth_while_their_change_is_being_saved(
    limits: TenantLimits, auth: Auth, database: Database
) -> None:
    auth.limits[TENANT] = NEW
    async with database.transaction() as holder:
        await holder.execute(LOCK_TENANT, TENANT)
        saving = asyncio.create_task(limits.apply_change(_build_change()))

        async def is_saving() -> bool:
            return await count_waiting(database) == 1

        await until(is_saving)
        refreshing = asyncio.create_task(limits.refresh_limits(TENANT))
        await until(lambda: auth.asked == 2 or refreshing.done())
    assert await refreshing == NEW
    await saving
    assert await limits.load_limits(TENANT) == NEW


def _build_change() -> UserChanged:
    return UserChanged(
        user_id=TENANT, version=2, tokens_from=1, is_active=True, tier=Tier.PRO, role=Role.USER, limits=NEW,
        own_limits=True, at=datetime.now(UTC),
    )  # fmt: skip
