"""Changes are published immediately, and can be read later by services that missed the message."""

import asyncio
from datetime import datetime, timedelta

import pytest

from auth.loops.prune import Pruner
from auth.store import changes
from contracts.auth.accounts import CHANGE_USER, ChangeUser, Role
from contracts.auth.changes import READ_CHANGES, ReadChanges, UserChanged
from contracts.auth.keys import REVOKE_KEY, RevokeKey
from contracts.auth.tiers import LimitsPatch, Tier
from tests.integration.auth.conftest import System
from tests.integration.auth.people import Person, somebody, told_of
from tests.kit.postgres import database_with_long_timeout


async def read_back(person: Person, since: datetime | None = None) -> list[UserChanged]:
    found = await person.system.bus.request(READ_CHANGES, ReadChanges(since=since))
    return [each for each in found.users if each.user_id == person.id]


@pytest.mark.requirement("F-156", "table auth.changes")
async def test_user_change_that_was_not_published_can_be_read(system: System) -> None:
    user = await somebody(system)
    database = database_with_long_timeout(system.database_url)
    try:
        async with told_of(user) as heard:
            async with database.transaction() as connection:  # as if the replica crashed before it published
                change = await changes.record_change(connection, user.id, void_tokens=True, revoked_key="WXuyW9PjLaJB")
            assert await read_back(user) == [change]
            assert heard.empty()
    finally:
        await database.close()
    assert (change.version, change.tokens_from, change.revoked_key) == (2, 2, "WXuyW9PjLaJB")


@pytest.mark.requirement("F-156")
async def test_stored_user_changes_equal_the_published_events(system: System) -> None:
    user, admin = await somebody(system), await somebody(system, Role.ADMIN)
    made = await user.make_key()
    async with told_of(user) as heard:
        await user.ask(REVOKE_KEY, RevokeKey(key_id=made.key.id))
        await admin.ask(CHANGE_USER, ChangeUser(user_id=user.id, is_active=False))
        async with asyncio.timeout(10):
            told = [await heard.get() for _ in range(2)]
    assert await read_back(user) == told


async def test_user_changes_can_be_read_from_a_given_time(system: System) -> None:
    user, admin = await somebody(system), await somebody(system, Role.ADMIN)
    await admin.ask(CHANGE_USER, ChangeUser(user_id=user.id, tier=Tier.BASIC))
    now = (await system.bus.request(READ_CHANGES, ReadChanges())).now
    assert await read_back(user, now) == []
    await admin.ask(CHANGE_USER, ChangeUser(user_id=user.id, tier=Tier.PRO))
    assert [each.tier for each in await read_back(user, now)] == [Tier.PRO]
    assert [each.tier for each in await read_back(user, now - timedelta(minutes=1))] == [Tier.BASIC, Tier.PRO]
    await system.sql.execute("UPDATE changes SET at = now() - interval '61 minutes' WHERE user_id = $1", user.id)
    assert await read_back(user) == []
    assert len(await read_back(user, now - timedelta(hours=2))) == 2


async def test_full_page_of_user_changes_has_a_position_to_continue_from(system: System) -> None:
    user = await somebody(system)
    database = database_with_long_timeout(system.database_url)
    try:
        async with database.transaction() as connection:
            change = await changes.record_change(connection, user.id)
            many = """
                INSERT INTO changes (user_id, body, at)
                SELECT $1, $2, now() - interval '30 minutes' + number * interval '1 ms'
                FROM generate_series(1, $3::int) AS number
            """
            await connection.execute(many, user.id, change.model_dump_json(), changes.MAX_PAGE)
        full = await system.bus.request(READ_CHANGES, ReadChanges())
        assert len(full.users) == changes.MAX_PAGE
        rest = await system.bus.request(READ_CHANGES, ReadChanges(since=full.now))
        assert change in rest.users
        assert rest.now > change.at
    finally:
        await system.sql.execute("DELETE FROM changes WHERE user_id = $1", user.id)
        await database.close()


async def test_simultaneous_user_changes_are_not_lost_between_pages(system: System) -> None:
    user, database = await somebody(system), database_with_long_timeout(system.database_url)
    try:
        async with database.transaction() as connection:
            change = await changes.record_change(connection, user.id)
            many = """
                INSERT INTO changes (user_id, body, at)
                SELECT $1, $2::jsonb || jsonb_build_object('version', number, 'at', at), at
                FROM generate_series(1, $3::int) AS number,
                LATERAL (SELECT now() - interval '50 minutes' - greatest($3 - 1 - number, 0) * interval '1 ms') AS t(at)
            """
            await connection.execute(many, user.id, change.model_dump_json(), changes.MAX_PAGE + 1)
        full = await system.bus.request(READ_CHANGES, ReadChanges())
        found = [*full.users, *await read_back(user, full.now)]
    finally:
        await database.close()
        await system.sql.execute("DELETE FROM changes WHERE user_id = $1", user.id)
    versions = {each.version for each in found if each.user_id == user.id}
    assert versions >= set(range(1, changes.MAX_PAGE + 2))


async def test_concurrent_user_changes_get_consecutive_versions(system: System) -> None:
    user, admin = await somebody(system), await somebody(system, Role.ADMIN)
    made = [await user.make_key() for _ in range(10)]
    async with told_of(user) as heard:
        await asyncio.gather(
            *(user.ask(REVOKE_KEY, RevokeKey(key_id=each.key.id)) for each in made),
            *(
                admin.ask(CHANGE_USER, ChangeUser(user_id=user.id, limits=LimitsPatch(queue_cap=number)))
                for number in range(10)
            ),
        )
        async with asyncio.timeout(10):
            told = [await heard.get() for _ in range(20)]
    kept = await read_back(user)
    assert [each.version for each in kept] == list(range(2, 22))
    assert sorted(told, key=lambda each: each.version) == kept
    assert {each.revoked_key for each in kept} - {None} == {each.key.id for each in made}


async def test_user_change_records_are_deleted_after_a_day(system: System) -> None:
    user, other = await somebody(system), await somebody(system)
    for person in (user, other):
        made = await person.make_key(idempotency_key="k")
        await person.ask(REVOKE_KEY, RevokeKey(key_id=made.key.id))
    old = "now() - interval '25 hours' WHERE user_id = $1"
    await system.sql.execute(f"UPDATE changes SET at = {old}", user.id)  # noqa: S608 - constants only
    await system.sql.execute(f"UPDATE key_requests SET created_at = {old}", user.id)  # noqa: S608 - constants only
    database = database_with_long_timeout(system.database_url)
    try:
        await Pruner(database, idle=timedelta(days=7), shared_quota=timedelta(0)).tick()
    finally:
        await database.close()
    for table in ("changes", "key_requests"):
        rows = await system.sql.fetch(f"SELECT user_id FROM {table}")  # noqa: S608 - constants only
        owners = {row["user_id"] for row in rows}
        assert (user.id in owners, other.id in owners) == (False, True)


async def test_long_revoked_keys_are_deleted(system: System) -> None:
    user = await somebody(system)
    names = ("revoked", "expired", "revoked lately", "works")
    made = {name: (await user.make_key(name=name)).key.id for name in names}
    for name, column, days in (
        ("revoked", "revoked_at", 91),
        ("expired", "expires_at", 91),
        ("revoked lately", "revoked_at", 89),
    ):
        ended = f"UPDATE api_keys SET {column} = now() - $2 * interval '1 day' WHERE id = $1"  # noqa: S608 - constants only
        await system.sql.execute(ended, made[name], days)
    database = database_with_long_timeout(system.database_url)
    try:
        await Pruner(database, idle=timedelta(days=7), shared_quota=timedelta(0)).tick()
    finally:
        await database.close()
    rows = await system.sql.fetch("SELECT name FROM api_keys WHERE user_id = $1", user.id)
    assert {row["name"] for row in rows} == {"bootstrap", "revoked lately", "works"}
