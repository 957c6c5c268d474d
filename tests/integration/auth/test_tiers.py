"""Tiers: what everybody in them may use."""

import asyncio
import json

import pytest
from nats.aio.msg import Msg

from contracts.auth import (
    CHANGE_TIER,
    LIST_TIERS,
    READ_ACCOUNT,
    READ_CHANGES,
    TIER_CHANGED,
    ChangeTier,
    Limits,
    ListTiers,
    ReadAccount,
    ReadChanges,
    Role,
    SomeLimits,
    Tier,
    TierLimits,
)
from contracts.wire.errors import Kind
from tests.integration.auth.conftest import System
from tests.integration.auth.people import Person, somebody


@pytest.fixture
async def admin(system: System) -> Person:
    return await somebody(system, Role.ADMIN)


async def tiers_of(person: Person) -> tuple[TierLimits, ...]:
    found: tuple[TierLimits, ...] = (await person.ask(LIST_TIERS, ListTiers())).tiers
    return found


async def test_every_tier_is_listed_smallest_first(admin: Person) -> None:
    assert [each.tier for each in await tiers_of(admin)] == list(Tier)


async def test_a_change_of_a_tier_is_told_and_holds_for_who_has_no_own_limits(system: System, admin: Person) -> None:
    user, own = await somebody(system, tier=Tier.BASIC), await somebody(system, tier=Tier.BASIC)
    await system.sql.execute("UPDATE users SET limits = '{\"queue_cap\": 5}' WHERE id = $1", own.id)
    before = next(each.limits for each in await tiers_of(admin) if each.tier is Tier.BASIC)
    heard: asyncio.Queue[TierLimits] = asyncio.Queue()

    async def hear(message: Msg) -> None:
        heard.put_nowait(TierLimits.model_validate_json(message.data))

    close = await system.bus.hear(TIER_CHANGED.pattern, hear)
    try:
        named = SomeLimits(queue_cap=77, images_per_day=None)
        changed = await admin.ask(CHANGE_TIER, ChangeTier(tier=Tier.BASIC, limits=named, ip="192.0.2.1"))
        again = await admin.ask(CHANGE_TIER, ChangeTier(tier=Tier.BASIC, limits=named))
        after = Limits.model_validate(before.model_dump() | {"queue_cap": 77, "images_per_day": None})
        assert changed == again == TierLimits(tier=Tier.BASIC, limits=after)
        async with asyncio.timeout(10):
            assert await heard.get() == changed
        assert heard.empty()
        assert (await user.ask(READ_ACCOUNT, ReadAccount())).limits == after
        assert (await own.ask(READ_ACCOUNT, ReadAccount())).limits.queue_cap == 5
        assert changed in (await system.bus.ask(READ_CHANGES, ReadChanges())).tiers
        sql = "SELECT ip, detail::text FROM audit_log WHERE actor_id = $1 AND action = 'tier.changed'"
        (entry,) = await system.sql.fetch(sql, admin.id)
        assert (entry["ip"], json.loads(entry["detail"])["after"]["queue_cap"]) == ("192.0.2.1", 77)
    finally:
        await close()
        back = SomeLimits(queue_cap=before.queue_cap, images_per_day=before.images_per_day)
        await admin.ask(CHANGE_TIER, ChangeTier(tier=Tier.BASIC, limits=back))


async def test_s_24_only_an_admin_changes_a_tier(system: System, admin: Person) -> None:
    user, before = await somebody(system), await tiers_of(admin)
    refused = await user.refused(CHANGE_TIER, ChangeTier(tier=Tier.FREE, limits=SomeLimits(queue_cap=None)))
    assert (refused.kind, refused.code) == (Kind.FORBIDDEN, "auth.scope.missing")
    assert await tiers_of(admin) == before
