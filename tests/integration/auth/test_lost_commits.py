"""Each command of auth takes effect exactly once, and succeeds, if the reply to its commit is lost."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest
from pydantic import SecretStr

from contracts.auth.accounts import (
    CHANGE_PASSWORD,
    CHANGE_USER,
    REGISTER,
    ChangePassword,
    ChangeUser,
    Register,
    Role,
    User,
)
from contracts.auth.audit import RECORD_ACTION, RecordAction
from contracts.auth.changes import UserChanged
from contracts.auth.credentials import Principal
from contracts.auth.erasure import ERASE_ACCOUNT, ERASE_USER, EraseAccount, EraseUser
from contracts.auth.fields import Done
from contracts.auth.invites import CREATE_INVITE, CreateInvite
from contracts.auth.keys import REVOKE_KEY, RevokeKey
from contracts.auth.login_links import CREATE_LOGIN_LINK, REDEEM_LOGIN_LINK, CreateLoginLink, RedeemLoginLink
from contracts.auth.sessions import END_SESSION, REFRESH_SESSION, EndSession, RefreshSession
from contracts.auth.tickets import CREATE_TICKET, REDEEM_TICKET, CreateTicket, RedeemTicket
from contracts.auth.tiers import Tier
from tests.integration.auth.conftest import (
    PASSWORD,
    System,
    claims,
    login,
    new_name,
    refused,
    register,
    session_id,
    system_at,
)
from tests.integration.auth.people import somebody, told_of, verified
from tests.kit.commit_faults import CommitFaults, running_faults
from tests.kit.nats import running_nats
from tests.kit.postgres import PostgresServer

pytestmark = pytest.mark.requirement("F-94")

AUDIT = "INSERT INTO audit_log"


@pytest.fixture(scope="module")
async def faults(postgres_server: PostgresServer) -> AsyncIterator[CommitFaults]:
    async with running_faults(await postgres_server.create_database("auth")) as faults:
        yield faults


@pytest.fixture(scope="module")
async def system(faults: CommitFaults) -> AsyncIterator[System]:
    """An auth that connects to PostgreSQL through ``faults``."""
    async with running_nats() as server, system_at(server.url, faults.url, connect_timeout_s=20) as system:
        yield system


@contextmanager
def lost_commit_reply(faults: CommitFaults, statement: str) -> Iterator[None]:
    """Drop the reply to the commit of the transaction in the block that runs a statement with this text."""
    faults.cut_commit(statement, when="after")
    yield
    assert faults.has_cut


async def count_audited(system: System, action: str, subject_id: UUID) -> int:
    sql = "SELECT count(*) FROM audit_log WHERE action = $1 AND subject_id = $2"
    number: int = await system.sql.fetchval(sql, action, subject_id)
    return number


async def count_rows(system: System, table: str, user_id: UUID) -> int:
    sql = f"SELECT count(*) FROM {table} WHERE user_id = $1"  # noqa: S608 - constants only
    number: int = await system.sql.fetchval(sql, user_id)
    return number


def new_account(invite: SecretStr | None = None) -> Register:
    name = new_name()
    return Register(username=name, email=f"{name}@example.org", password=SecretStr(PASSWORD), invite=invite)


async def test_registration_succeeds_if_its_commit_reply_is_lost(system: System, faults: CommitFaults) -> None:
    account = new_account()
    with lost_commit_reply(faults, "INSERT INTO users"):
        user: User = await system.bus.request(REGISTER, account)
    assert user.username == account.username
    assert await system.sql.fetchval("SELECT id FROM users WHERE email = $1", account.email) == user.id
    assert await count_audited(system, "account.made", user.id) == 1


async def test_registration_with_an_invite_succeeds_if_its_commit_reply_is_lost(
    system: System, faults: CommitFaults
) -> None:
    admin = await somebody(system, Role.ADMIN)
    invite = await admin.ask(CREATE_INVITE, CreateInvite(tier=Tier.PRO))
    with lost_commit_reply(faults, "UPDATE invites SET used_by"):
        user: User = await system.bus.request(REGISTER, new_account(invite.token))
    assert user.tier is Tier.PRO
    assert await system.sql.fetchval("SELECT used_by FROM invites WHERE id = $1", invite.invite.id) == user.id


@pytest.mark.parametrize("idempotency_key", [None, "k-1"])
async def test_only_one_key_is_created_if_its_commit_reply_is_lost(
    system: System, faults: CommitFaults, idempotency_key: str | None
) -> None:
    person = await somebody(system)
    keys_before = await count_rows(system, "api_keys", person.id)
    with lost_commit_reply(faults, "INSERT INTO api_keys"):
        created = await person.make_key(idempotency_key=idempotency_key)
    assert not created.replayed
    assert (await verified(system, created.text.get_secret_value())).key_id == created.key.id
    assert await count_rows(system, "api_keys", person.id) == keys_before + 1


async def test_only_one_invite_is_created_if_its_commit_reply_is_lost(system: System, faults: CommitFaults) -> None:
    admin = await somebody(system, Role.ADMIN)
    with lost_commit_reply(faults, "INSERT INTO invites"):
        invite = await admin.ask(CREATE_INVITE, CreateInvite())
    ids = await system.sql.fetch("SELECT id FROM invites WHERE created_by = $1", admin.id)
    assert [row["id"] for row in ids] == [invite.invite.id]


async def test_only_one_login_link_is_created_if_its_commit_reply_is_lost(system: System, faults: CommitFaults) -> None:
    admin, person = await somebody(system, Role.ADMIN), await somebody(system)
    with lost_commit_reply(faults, "INSERT INTO login_links"):
        link = await admin.ask(CREATE_LOGIN_LINK, CreateLoginLink(user_id=person.id))
    assert await count_rows(system, "login_links", person.id) == 1
    session = await system.bus.request(REDEEM_LOGIN_LINK, RedeemLoginLink(token=link.token))
    assert claims(session)["sub"] == str(person.id)


async def test_login_link_opens_only_one_session_if_its_commit_reply_is_lost(
    system: System, faults: CommitFaults
) -> None:
    admin, person = await somebody(system, Role.ADMIN), await somebody(system)
    link = await admin.ask(CREATE_LOGIN_LINK, CreateLoginLink(user_id=person.id))
    with lost_commit_reply(faults, "DELETE FROM login_links"):
        session = await system.bus.request(REDEEM_LOGIN_LINK, RedeemLoginLink(token=link.token))
    sessions = await system.sql.fetch("SELECT id FROM sessions WHERE user_id = $1", person.id)
    assert [row["id"] for row in sessions] == [session_id(session)]
    assert await count_audited(system, "session.refused", person.id) == 0


async def test_login_opens_only_one_session_if_its_commit_reply_is_lost(system: System, faults: CommitFaults) -> None:
    person = await register(system.bus)
    with lost_commit_reply(faults, "INSERT INTO sessions"):
        session = await login(system.bus, person)
    sessions = await system.sql.fetch("SELECT id FROM sessions WHERE user_id = $1", person.id)
    assert [row["id"] for row in sessions] == [session_id(session)]


async def test_failed_login_is_counted_once_if_its_commit_reply_is_lost(system: System, faults: CommitFaults) -> None:
    person = await register(system.bus)
    with lost_commit_reply(faults, "SET failed_logins = failed_logins + 1"):
        assert (await refused(login(system.bus, person, "wrong words of mine"))).code == "auth.login.failed"
    assert await system.sql.fetchval("SELECT failed_logins FROM users WHERE id = $1", person.id) == 1
    assert await count_audited(system, "session.refused", person.id) == 1


async def test_refresh_stores_only_one_token_if_its_commit_reply_is_lost(system: System, faults: CommitFaults) -> None:
    person = await register(system.bus)
    session = await login(system.bus, person)
    with lost_commit_reply(faults, "INSERT INTO refresh_tokens"):
        refreshed = await system.bus.request(REFRESH_SESSION, RefreshSession(refresh_token=session.refresh_token))
    sql = "SELECT generation FROM refresh_tokens WHERE session_id = $1 ORDER BY generation"
    rows = await system.sql.fetch(sql, session_id(refreshed))
    assert [row["generation"] for row in rows] == [1, 2]


async def test_password_change_succeeds_if_its_commit_reply_is_lost(system: System, faults: CommitFaults) -> None:
    person, new = await register(system.bus), "four other words here"
    command = ChangePassword(current_password=SecretStr(PASSWORD), new_password=SecretStr(new))
    with lost_commit_reply(faults, "UPDATE users SET password_hash"):
        assert await system.bus.request(CHANGE_PASSWORD, command, tenant=person.tenant) == Done()
    assert await system.sql.fetchval("SELECT failed_logins FROM users WHERE id = $1", person.id) == 0
    assert await count_audited(system, "password.changed", person.id) == 1
    assert claims(await login(system.bus, person, new))["sub"] == person.tenant


async def create_ticket(system: System, principal: Principal) -> SecretStr:
    ticket = await system.bus.request(CREATE_TICKET, CreateTicket(principal=principal), tenant=str(principal.user_id))
    return ticket.text


async def test_ticket_is_accepted_if_its_commit_reply_is_lost(system: System, faults: CommitFaults) -> None:
    person = await somebody(system)
    principal = await verified(system, person.key)
    ticket = await create_ticket(system, principal)
    with lost_commit_reply(faults, "DELETE FROM ws_tickets"):
        assert await system.bus.request(REDEEM_TICKET, RedeemTicket(ticket=ticket)) == principal


async def test_key_revocation_is_published_if_its_commit_reply_is_lost(system: System, faults: CommitFaults) -> None:
    person = await somebody(system)
    key = (await person.make_key()).key
    async with told_of(person) as published:
        with lost_commit_reply(faults, AUDIT):
            await person.ask(REVOKE_KEY, RevokeKey(key_id=key.id))
        change: UserChanged = await published.get()
    assert change.revoked_key == key.id
    assert await count_audited(system, "key.revoked", person.id) == 1


async def test_user_change_is_published_if_its_commit_reply_is_lost(system: System, faults: CommitFaults) -> None:
    admin, person = await somebody(system, Role.ADMIN), await somebody(system)
    async with told_of(person) as published:
        with lost_commit_reply(faults, AUDIT):
            account = await admin.ask(CHANGE_USER, ChangeUser(user_id=person.id, is_active=False))
        change: UserChanged = await published.get()
    assert not account.user.is_active
    assert not change.is_active
    assert await count_audited(system, "user.changed", person.id) == 1


async def test_session_end_is_published_if_its_commit_reply_is_lost(system: System, faults: CommitFaults) -> None:
    person = await somebody(system)
    admin = await somebody(system, Role.ADMIN)
    link = await admin.ask(CREATE_LOGIN_LINK, CreateLoginLink(user_id=person.id))
    ended = session_id(await system.bus.request(REDEEM_LOGIN_LINK, RedeemLoginLink(token=link.token)))
    async with told_of(person) as published:
        with lost_commit_reply(faults, AUDIT):
            await person.ask(END_SESSION, EndSession(session_id=ended))
        change: UserChanged = await published.get()
    assert change.ended_session == ended
    assert await count_audited(system, "session.ended", person.id) == 1


async def test_erasure_by_an_admin_is_published_if_its_commit_reply_is_lost(
    system: System, faults: CommitFaults
) -> None:
    admin, person = await somebody(system, Role.ADMIN), await somebody(system)
    async with told_of(person) as published:
        with lost_commit_reply(faults, AUDIT):
            assert await admin.ask(ERASE_USER, EraseUser(user_id=person.id)) == Done()
        change: UserChanged = await published.get()
    assert not change.is_active
    assert await count_audited(system, "account.erased", person.id) == 1


async def test_erasure_of_the_own_account_succeeds_if_its_commit_reply_is_lost(
    system: System, faults: CommitFaults
) -> None:
    person = await register(system.bus)
    command = EraseAccount(password=SecretStr(PASSWORD))
    with lost_commit_reply(faults, AUDIT):
        assert await system.bus.request(ERASE_ACCOUNT, command, tenant=person.tenant) == Done()
    assert await count_audited(system, "account.erased", person.id) == 1


async def test_admin_action_is_recorded_once_if_its_commit_reply_is_lost(system: System, faults: CommitFaults) -> None:
    admin, person = await somebody(system, Role.ADMIN), await somebody(system)
    command = RecordAction(action="job.cancelled", subject_id=person.id, detail={})
    with lost_commit_reply(faults, AUDIT):
        await admin.ask(RECORD_ACTION, command)
    assert await count_audited(system, "job.cancelled", person.id) == 1
