"""Erasure of an account deletes everything except its id; services learn of it even if they poll much later."""

import asyncio

import pytest
from pydantic import SecretStr

from chassis.messaging.metadata import Metadata
from contracts.auth.accounts import CHANGE_USER, LIST_USERS, READ_TENANT, ChangeUser, ListUsers, ReadTenant, Role
from contracts.auth.changes import USER_CHANGED, UserChanged
from contracts.auth.credentials import VERIFY_CREDENTIAL, VerifyCredential
from contracts.auth.erasure import ERASE_ACCOUNT, ERASE_USER, READ_ERASURES, EraseAccount, EraseUser, ReadErasures
from contracts.auth.sessions import LIST_SESSIONS, ListSessions
from contracts.wire.errors import ErrorKind
from tests.integration.auth.conftest import System, login, refused, register, session_id
from tests.integration.auth.people import somebody

TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"


async def traces(system: System, word: str) -> set[str]:
    names = [row["tablename"] for row in await system.sql.fetch(TABLES)]
    query = "SELECT count(*) FROM {0} t WHERE t::text ILIKE '%' || $1 || '%'"
    return {name for name in names if await system.sql.fetchval(query.format(name), word)}


@pytest.mark.requirement("S-84", "table auth.erasures")
async def test_erased_account_leaves_only_its_id(system: System) -> None:
    person = await register(system.bus)
    session = await login(system.bus, person)
    listed = (await system.bus.request(LIST_SESSIONS, ListSessions(), tenant=person.tenant)).sessions
    assert [one.id for one in listed] == [session_id(session)]
    before = (await system.bus.request(READ_ERASURES, ReadErasures())).erasures
    heard: asyncio.Queue[UserChanged] = asyncio.Queue()

    async def hear(message: UserChanged, _: Metadata) -> None:
        heard.put_nowait(message)

    close = await system.bus.subscribe(USER_CHANGED, hear, tenant=person.tenant)
    wrong = EraseAccount(password=SecretStr("not this one"))
    refusal = await refused(system.bus.request(ERASE_ACCOUNT, wrong, tenant=person.tenant))
    assert (refusal.kind, refusal.code) == (ErrorKind.UNAUTHENTICATED, "auth.login.failed")
    right = EraseAccount(password=SecretStr(person.password), ip="192.0.2.9")
    await system.bus.request(ERASE_ACCOUNT, right, tenant=person.tenant)
    async with asyncio.timeout(10):
        told = await heard.get()
    await close()
    assert (told.is_active, told.tokens_from) == (False, told.version)
    assert await traces(system, person.username) == set()
    assert await traces(system, person.tenant) == {"users", "changes", "erasures", "audit_log"}
    assert (await refused(login(system.bus, person))).code == "auth.login.failed"
    assert (
        await refused(system.bus.request(READ_TENANT, ReadTenant(), tenant=person.tenant))
    ).code == "auth.tenant.unknown"
    after = before[-1].number if before else 0
    (erasure,) = (await system.bus.request(READ_ERASURES, ReadErasures(after=after))).erasures
    assert (str(erasure.tenant_id), erasure.number > after) == (person.tenant, True)
    assert (await refused(system.bus.request(ERASE_ACCOUNT, right, tenant=person.tenant))).code == "auth.login.failed"
    again = await register(system.bus, person.username)  # the name can be registered again
    assert again.id != person.id


async def test_only_an_admin_erases_a_user_and_only_once(system: System) -> None:
    admin, user, other = await somebody(system, Role.ADMIN), await somebody(system), await somebody(system)
    erase = EraseUser(user_id=user.id, ip="192.0.2.1")
    assert (await other.refused(ERASE_USER, erase)).code == "auth.scope.missing"
    await admin.ask(ERASE_USER, erase)
    key = VerifyCredential(credential=SecretStr(user.key))
    assert (await refused(system.bus.request(VERIFY_CREDENTIAL, key))).code == "auth.credential.invalid"
    assert (await admin.refused(ERASE_USER, erase)).code == "auth.user.not_found"
    back = ChangeUser(user_id=user.id, is_active=True)
    assert (await admin.refused(CHANGE_USER, back)).code == "auth.user.not_found"
    assert (await admin.ask(LIST_USERS, ListUsers(user_id=user.id))).accounts == ()
    assert (await user.audited())[-1][:2] == ("account.erased", admin.id)


@pytest.mark.parametrize("own", [True, False])
async def test_last_admin_cannot_be_erased(system: System, own: bool) -> None:
    admin = await somebody(system, Role.ADMIN)
    others = "UPDATE users SET is_active = false WHERE role = 'admin' AND id <> $1 AND is_active RETURNING id"
    rested = [row["id"] for row in await system.sql.fetch(others, admin.id)]
    try:
        if own:
            person = await register(system.bus)
            await system.sql.execute("UPDATE users SET role = 'admin' WHERE id = $1", person.id)
            await system.sql.execute("UPDATE users SET is_active = false WHERE id = $1", admin.id)
            command = EraseAccount(password=SecretStr(person.password))
            refusal = await refused(system.bus.request(ERASE_ACCOUNT, command, tenant=person.tenant))
            await system.sql.execute("UPDATE users SET role = 'user' WHERE id = $1", person.id)
        else:
            refusal = await admin.refused(ERASE_USER, EraseUser(user_id=admin.id))
        assert (refusal.kind, refusal.code) == (ErrorKind.CONFLICT, "auth.user.last_admin")
    finally:
        await system.sql.execute("UPDATE users SET is_active = true WHERE id = ANY($1)", [*rested, admin.id])
