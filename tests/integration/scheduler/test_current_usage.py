"""Reads of a tenant's current usage, and effects of changes of its limits in auth."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.auth.accounts import Role
from contracts.auth.changes import USER_CHANGED, UserChanged
from contracts.auth.tiers import TIER_CHANGED, Tier, TierLimits
from contracts.scheduler.usage import READ_TENANT_USAGE, ReadTenantUsage, TenantUsage
from contracts.wire.errors import ErrorKind, RelayedRefusal
from tests.integration.scheduler.conftest import UNLIMITED, World, bus_as, checked_world, run_system
from tests.kit.nats import NatsServer
from tests.kit.postgres import PostgresServer
from tests.kit.waiting import until


async def use(world: World, tenant: UUID) -> TenantUsage:
    return await world.system.bus.request(READ_TENANT_USAGE, ReadTenantUsage(), tenant=str(tenant))


def changed(tenant: UUID, version: int, **fields: Any) -> UserChanged:
    active = fields.pop("is_active", True)
    return UserChanged(
        user_id=tenant, version=version, tokens_from=0, is_active=active, tier=Tier.PRO, role=Role.USER,
        limits=UNLIMITED.model_copy(update=fields), own_limits=True, at=datetime.now(UTC),
    )  # fmt: skip


async def say(world: World, change: UserChanged) -> None:
    await world.system.bus.publish(USER_CHANGED, change, tenant=str(change.user_id))


async def kept(world: World, tenant: UUID) -> tuple[int, int | None]:
    row = await world.system.sql.fetchrow("SELECT version, queue_cap FROM tenants WHERE id = $1", tenant)
    return row["version"], row["queue_cap"]


@pytest.mark.requirement("F-96", "table scheduler.tenants")
async def test_current_usage_follows_reservations_and_settlements(world: World) -> None:
    tenant, node = world.add_tenant(images_per_day=10), await world.add_node()
    assert await use(world, tenant) == TenantUsage(quota=(await use(world, tenant)).quota, running=0, queued=0)
    accepted = await world.submit(tenant, images=3)
    await world.submit(tenant, images=2)
    found = await use(world, tenant)
    assert (found.quota.limit, found.quota.used, found.running, found.queued) == (10, 5, 0, 2)
    assert found.quota.resets_at == accepted.quota.resets_at
    given = await node.claim_attempt()
    found = await use(world, tenant)
    assert (found.running, found.queued) == (1, 1)
    assert await node.finish(given.ref)  # one of three reserved images was made
    found = await use(world, tenant)
    assert (found.quota.used, found.running, found.queued) == (3, 0, 1)


async def test_new_tenant_is_requested_from_auth_and_an_unknown_one_is_refused(world: World) -> None:
    found = await use(world, world.add_tenant(images_per_day=7))
    assert (found.quota.limit, found.quota.used) == (7, 0)
    with pytest.raises(RelayedRefusal) as relayed:
        await use(world, uuid4())
    assert relayed.value.details.code == "auth.tenant.unknown"


async def test_only_known_tenants_are_served_while_auth_is_unavailable(world: World) -> None:
    await world.add_node()
    known, new = world.add_tenant(images_per_day=7), world.add_tenant()
    await world.submit(known)
    await world.system.auth.stop()
    try:
        await world.submit(known)
        assert (await use(world, known)).quota.used == 2
        with pytest.raises(RelayedRefusal) as relayed:
            await use(world, new)
        assert relayed.value.details.kind is ErrorKind.UNAVAILABLE
    finally:
        await world.system.auth.start()


async def test_older_change_never_overwrites_a_newer_one(world: World) -> None:
    tenant = world.add_tenant(queue_cap=1)
    await use(world, tenant)

    async def heard() -> bool:
        await say(world, changed(tenant, 5, queue_cap=50))
        return await kept(world, tenant) == (5, 50)

    await until(heard)
    await say(world, changed(tenant, 4, queue_cap=40))
    await say(world, changed(tenant, 5, queue_cap=55))
    nobody = uuid4()
    await say(world, changed(nobody, 9, queue_cap=90))
    marker = world.add_tenant()
    await use(world, marker)
    await say(world, changed(marker, 6, queue_cap=60))  # arrives after all other changes

    async def all_heard() -> bool:
        return await kept(world, marker) == (6, 60)

    await until(all_heard)
    assert await kept(world, tenant) == (5, 50)
    assert await world.system.sql.fetchval("SELECT count(*) FROM tenants WHERE id = $1", nobody) == 0


async def test_reply_older_than_a_change_event_is_discarded(world: World) -> None:
    tenant, auth = world.add_tenant(queue_cap=1), world.system.auth
    await use(world, tenant)
    asked = auth.asked
    auth.may_answer.clear()
    async with asyncio.TaskGroup() as group:
        question = group.create_task(use(world, tenant))
        await until(lambda: auth.asked > asked)

        async def heard() -> bool:
            await say(world, changed(tenant, 2, queue_cap=20))
            return await kept(world, tenant) == (2, 20)

        await until(heard)
        auth.may_answer.set()
        await question
    assert await kept(world, tenant) == (2, 20)


async def test_deactivated_tenant_keeps_its_jobs_but_cannot_submit(world: World) -> None:
    tenant, _ = world.add_tenant(), await world.add_node()
    job_id = await world.submit_job(tenant)
    world.system.auth.inactive.add(tenant)

    async def heard() -> bool:
        await say(world, changed(tenant, 3, is_active=False))
        return not await world.system.sql.fetchval("SELECT is_active FROM tenants WHERE id = $1", tenant)

    await until(heard)
    with pytest.raises(RelayedRefusal) as relayed:
        await world.submit(tenant)
    assert relayed.value.details.code == "auth.tenant.unknown"
    assert (await world.read_job(tenant, job_id)).state == "queued"


async def test_tier_change_invalidates_cached_limits(postgres_server: PostgresServer, own_nats: NatsServer) -> None:
    database = await postgres_server.create_database("scheduler")
    async with run_system(own_nats.url, database, limits_fresh_s=3600) as system, checked_world(system) as world:
        tenant = world.add_tenant(images_per_day=7)
        assert (await use(world, tenant)).quota.limit == 7
        world.set_limits(tenant, images_per_day=8)
        auth = bus_as(own_nats.url, "auth-says")
        await auth.start()

        async def heard() -> bool:
            await auth.publish(TIER_CHANGED, TierLimits(tier=Tier.PRO, limits=UNLIMITED), tenant="pro")
            return (await use(world, tenant)).quota.limit == 8

        try:
            assert (await use(world, tenant)).quota.limit == 7
            await until(heard)
        finally:
            await auth.stop()
