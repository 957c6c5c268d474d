"""Tiers and their limits."""

import asyncio
import json

import pytest

from chassis.messaging.metadata import Metadata
from contracts.auth.accounts import CHANGE_USER, READ_ACCOUNT, READ_TENANT, ChangeUser, ReadAccount, ReadTenant, Role
from contracts.auth.changes import READ_CHANGES, ReadChanges
from contracts.auth.tiers import (
    CHANGE_TIER,
    LIST_TIERS,
    TIER_CHANGED,
    ChangeTier,
    Limits,
    LimitsPatch,
    ListTiers,
    Tier,
    TierLimits,
)
from contracts.graph_policy.policy import GraphPolicy
from contracts.wire.errors import ErrorKind
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


async def test_tier_change_is_announced_and_applies_to_users_without_own_limits(system: System, admin: Person) -> None:
    user, own = await somebody(system, tier=Tier.BASIC), await somebody(system, tier=Tier.BASIC)
    await system.sql.execute("UPDATE users SET limits = '{\"queue_cap\": 5}' WHERE id = $1", own.id)
    before = next(each.limits for each in await tiers_of(admin) if each.tier is Tier.BASIC)
    heard: asyncio.Queue[TierLimits] = asyncio.Queue()

    async def hear(message: TierLimits, _: Metadata) -> None:
        heard.put_nowait(message)

    close = await system.bus.subscribe(TIER_CHANGED, hear)
    try:
        named = LimitsPatch(queue_cap=77, images_per_day=None)
        changed = await admin.ask(CHANGE_TIER, ChangeTier(tier=Tier.BASIC, limits=named, ip="192.0.2.1"))
        again = await admin.ask(CHANGE_TIER, ChangeTier(tier=Tier.BASIC, limits=named))
        after = Limits.model_validate(before.model_dump() | {"queue_cap": 77, "images_per_day": None})
        assert changed == again == TierLimits(tier=Tier.BASIC, limits=after)
        async with asyncio.timeout(10):
            assert await heard.get() == changed
        assert heard.empty()
        assert (await user.ask(READ_ACCOUNT, ReadAccount())).limits == after
        assert (await own.ask(READ_ACCOUNT, ReadAccount())).limits.queue_cap == 5
        assert changed in (await system.bus.request(READ_CHANGES, ReadChanges())).tiers
        sql = "SELECT ip, detail::text FROM audit_log WHERE actor_id = $1 AND action = 'tier.changed'"
        (entry,) = await system.sql.fetch(sql, admin.id)
        assert (entry["ip"], json.loads(entry["detail"])["after"]["queue_cap"]) == ("192.0.2.1", 77)
    finally:
        await close()
        back = LimitsPatch(queue_cap=before.queue_cap, images_per_day=before.images_per_day)
        await admin.ask(CHANGE_TIER, ChangeTier(tier=Tier.BASIC, limits=back))


GRAPHS = {
    "graph_policy": GraphPolicy.OPEN, "graph_nodes": 50, "graph_text_bytes": 2**53, "graph_pixels": 2**40,
    "graph_steps": 10_000, "graph_pixel_steps": 2**53, "run_seconds": 12.5, "gpu_seconds_per_day": 0.0,
    "result_bytes": 2**45, "start_seconds": 60.5,
}  # fmt: skip


@pytest.mark.requirement("limit.graph")
async def test_changed_limits_are_announced_to_the_scheduler(system: System, admin: Person) -> None:
    user, other = await somebody(system, tier=Tier.PRO), await somebody(system, tier=Tier.BASIC)
    before = next(each.limits for each in await tiers_of(admin) if each.tier is Tier.PRO)
    try:
        changed = await admin.ask(CHANGE_TIER, ChangeTier(tier=Tier.PRO, limits=LimitsPatch(**GRAPHS)))
        assert changed.limits == Limits.model_validate(before.model_dump() | GRAPHS)
        assert (await user.ask(READ_TENANT, ReadTenant())).limits == changed.limits
        none = LimitsPatch.model_validate(dict.fromkeys(GRAPHS) | {"graph_policy": "strict"})
        await admin.ask(CHANGE_USER, ChangeUser(user_id=other.id, limits=none))
        account = await other.ask(READ_ACCOUNT, ReadAccount())
        assert account.own_limits == tuple(GRAPHS)
        assert {getattr(account.limits, name) for name in GRAPHS} == {None, GraphPolicy.STRICT}
    finally:
        back = LimitsPatch.model_validate({name: getattr(before, name) for name in GRAPHS})
        await admin.ask(CHANGE_TIER, ChangeTier(tier=Tier.PRO, limits=back))


async def test_only_the_largest_tier_has_the_open_graph_policy(admin: Person) -> None:
    policies = {each.tier: each.limits.graph_policy for each in await tiers_of(admin)}
    assert policies == dict.fromkeys(Tier, GraphPolicy.STRICT) | {Tier.ENTERPRISE: GraphPolicy.OPEN}


@pytest.mark.requirement("S-24")
async def test_only_an_admin_changes_a_tier(system: System, admin: Person) -> None:
    user, before = await somebody(system), await tiers_of(admin)
    refused = await user.refused(CHANGE_TIER, ChangeTier(tier=Tier.FREE, limits=LimitsPatch(queue_cap=None)))
    assert (refused.kind, refused.code) == (ErrorKind.FORBIDDEN, "auth.scope.missing")
    assert await tiers_of(admin) == before
