"""The cached limits of a tenant while a change of them is being saved, and auth is unavailable."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

import pytest

from chassis.database.postgres import Database
from contracts.auth.accounts import Role
from contracts.auth.changes import UserChanged
from contracts.auth.tiers import Tier
from scheduler.usecases.tenant_limits import TenantLimits
from tests.integration.scheduler.conftest import UNLIMITED, Auth, bus_as
from tests.kit.nats import NatsServer
from tests.kit.postgres import PostgresServer, patient_database
from tests.kit.waiting import until

TENANT = UUID("0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee")
LOCK_TENANT = "SELECT FROM tenants WHERE id = $1 FOR UPDATE"
COUNT_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
OLD, NEW = (UNLIMITED.model_copy(update={"queue_cap": cap}) for cap in (7, 3))


@pytest.fixture
async def nats() -> AsyncIterator[NatsServer]:
    server = NatsServer()
    try:
        await server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
async def database(postgres_server: PostgresServer) -> AsyncIterator[Database]:
    opened = patient_database(await postgres_server.create_database("scheduler"))
    yield opened
    await opened.close()


async def test_old_limits_are_not_cached_beyond_a_change_that_is_being_saved(
    nats: NatsServer, database: Database
) -> None:
    auth, bus = Auth(nats.url), bus_as(nats.url, "scheduler")
    auth.limits[TENANT] = OLD
    await auth.start()
    await bus.start()
    try:
        limits = TenantLimits(database, bus, fresh_s=3600)
        assert await limits.refresh_limits(TENANT) == OLD
        await auth.stop()
        async with database.transaction() as holder:
            await holder.execute(LOCK_TENANT, TENANT)
            saving = asyncio.create_task(limits.apply_change(_build_change()))

            async def is_saving() -> bool:
                async with database.connection() as connection:
                    return bool(await connection.fetchval(COUNT_WAITING))

            await until(is_saving)
            assert await limits.refresh_limits(TENANT) == OLD
        await saving
        assert await limits.refresh_limits(TENANT) == NEW
    finally:
        await bus.stop()
        await auth.stop()


def _build_change() -> UserChanged:
    return UserChanged(
        user_id=TENANT, version=2, tokens_from=1, is_active=True, tier=Tier.PRO, role=Role.USER, limits=NEW,
        own_limits=True, at=datetime.now(UTC),
    )  # fmt: skip
