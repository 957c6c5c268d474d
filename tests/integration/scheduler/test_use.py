"""What a tenant uses is told; what auth changes is heard at once and never undone by older news."""

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.auth.accounts import Role
from contracts.auth.changes import USER_CHANGED, UserChanged
from contracts.auth.tiers import TIER_CHANGED, Tier, TierLimits
from contracts.scheduler.usage import READ_TENANT_USAGE, ReadTenantUsage, TenantUsage
from contracts.wire.errors import Kind, Relayed
from tests.integration.scheduler.conftest import UNLIMITED, World, bus_as, system_at, world_in
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
async def test_use_is_what_submits_reserve_and_ends_settle(world: World) -> None:
    tenant, node = world.tenant(images_per_day=10), await world.node()
    assert await use(world, tenant) == TenantUsage(quota=(await use(world, tenant)).quota, running=0, queued=0)
    accepted = await world.submit(tenant, images=3)
    await world.submit(tenant, images=2)
    found = await use(world, tenant)
    assert (found.quota.limit, found.quota.used, found.running, found.queued) == (10, 5, 0, 2)
    assert found.quota.resets_at == accepted.quota.resets_at
    given = await node.claim()
    found = await use(world, tenant)
    assert (found.running, found.queued) == (1, 1)
    assert await node.finish(given.ref)  # made one of three
    found = await use(world, tenant)
    assert (found.quota.used, found.running, found.queued) == (3, 0, 1)


async def test_a_tenant_never_seen_is_asked_about_and_an_unknown_one_refused(world: World) -> None:
    found = await use(world, world.tenant(images_per_day=7))
    assert (found.quota.limit, found.quota.used) == (7, 0)
    with pytest.raises(Relayed) as relayed:
        await use(world, uuid4())
    assert relayed.value.refused.code == "auth.tenant.unknown"


async def test_known_tenants_go_on_while_auth_is_away_and_new_ones_wait(world: World) -> None:
    await world.node()
    known, new = world.tenant(images_per_day=7), world.tenant()
    await world.submit(known)
    await world.system.auth.stop()
    try:
        await world.submit(known)
        assert (await use(world, known)).quota.used == 2
        with pytest.raises(Relayed) as relayed:
            await use(world, new)
        assert relayed.value.refused.kind is Kind.UNAVAILABLE
    finally:
        await world.system.auth.start()


async def test_a_change_is_saved_when_it_is_heard_and_never_goes_back(world: World) -> None:
    tenant = world.tenant(queue_cap=1)
    await use(world, tenant)

    async def heard() -> bool:
        await say(world, changed(tenant, 5, queue_cap=50))
        return await kept(world, tenant) == (5, 50)

    await until(heard)
    await say(world, changed(tenant, 4, queue_cap=40))
    await say(world, changed(tenant, 5, queue_cap=55))
    nobody = uuid4()
    await say(world, changed(nobody, 9, queue_cap=90))
    marker = world.tenant()
    await use(world, marker)
    await say(world, changed(marker, 6, queue_cap=60))  # heard after all the others

    async def all_heard() -> bool:
        return await kept(world, marker) == (6, 60)

    await until(all_heard)
    assert await kept(world, tenant) == (5, 50)
    assert await world.system.sql.fetchval("SELECT count(*) FROM tenants WHERE id = $1", nobody) == 0


async def test_an_answer_older_than_a_heard_change_is_dropped(world: World) -> None:
    tenant, auth = world.tenant(queue_cap=1), world.system.auth
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


async def test_a_deactivated_tenant_keeps_its_jobs_and_gets_no_new_ones(world: World) -> None:
    tenant, _ = world.tenant(), await world.node()
    job_id = await world.job(tenant)
    world.system.auth.inactive.add(tenant)

    async def heard() -> bool:
        await say(world, changed(tenant, 3, is_active=False))
        return not await world.system.sql.fetchval("SELECT is_active FROM tenants WHERE id = $1", tenant)

    await until(heard)
    with pytest.raises(Relayed) as relayed:
        await world.submit(tenant)
    assert relayed.value.refused.code == "auth.tenant.unknown"
    assert (await world.read(tenant, job_id)).state == "queued"


async def test_fresh_limits_are_asked_for_again_when_a_tier_changes(
    postgres_server: PostgresServer, own_nats: NatsServer
) -> None:
    database = await postgres_server.database("scheduler")
    async with system_at(own_nats.url, database, limits_fresh_s=3600) as system, world_in(system) as world:
        tenant = world.tenant(images_per_day=7)
        assert (await use(world, tenant)).quota.limit == 7
        world.limit(tenant, images_per_day=8)
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
