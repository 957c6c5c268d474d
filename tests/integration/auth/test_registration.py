"""Registration modes, invites, and the daily quota shared by accounts registered from one address."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from auth.loops.prune import Pruner
from chassis.messaging.metadata import Metadata
from contracts.auth.accounts import (
    CHANGE_USER,
    LIST_USERS,
    READ_TENANT,
    REGISTER,
    ChangeUser,
    ListUsers,
    ReadTenant,
    Register,
    Role,
    Tenant,
    User,
)
from contracts.auth.changes import USER_CHANGED, UserChanged
from contracts.auth.erasure import ERASE_USER, EraseUser
from contracts.auth.invites import (
    CREATE_INVITE,
    LIST_INVITES,
    REVOKE_INVITE,
    CreatedInvite,
    CreateInvite,
    InvitePage,
    ListInvites,
    RevokeInvite,
)
from contracts.auth.tiers import LimitsPatch, Tier
from contracts.wire.errors import ErrorKind, RefusalDetails, RelayedRefusal
from tests.integration.auth.conftest import PASSWORD, System, new_name, system_at
from tests.integration.auth.people import Person, somebody
from tests.kit.nats import running_nats
from tests.kit.postgres import PostgresServer, database_with_long_timeout

DAYS = 7


@asynccontextmanager
async def another(postgres: PostgresServer, **settings: Any) -> AsyncIterator[System]:
    """Run an auth with these settings on its own NATS server."""
    async with (
        running_nats() as server,
        system_at(server.url, await postgres.create_database("auth"), **settings) as system,
    ):
        yield system


@pytest.fixture(scope="module")
async def inviting(postgres_server: PostgresServer) -> AsyncIterator[System]:
    async with another(postgres_server, registration="invite", hashing_threads=8) as system:
        yield system


@pytest.fixture(scope="module")
async def sharing(postgres_server: PostgresServer) -> AsyncIterator[System]:
    async with another(postgres_server, shared_quota_days=DAYS) as system:
        yield system


@pytest.fixture
async def admin(inviting: System) -> Person:
    return await somebody(inviting, Role.ADMIN)


def asked(**fields: Any) -> Register:
    name = new_name()
    usual = {"username": name, "email": f"{name}@example.org", "password": SecretStr(PASSWORD), "ip": "192.0.2.7"}
    return Register(**(usual | fields))


async def register(system: System, **fields: Any) -> User:
    return await system.bus.request(REGISTER, asked(**fields))


async def refusal(system: System, **fields: Any) -> RefusalDetails:
    with pytest.raises(RelayedRefusal) as relayed:
        await register(system, **fields)
    return relayed.value.details


async def invite(admin: Person, **fields: Any) -> CreatedInvite:
    made: CreatedInvite = await admin.ask(CREATE_INVITE, CreateInvite(ip="192.0.2.1", **fields))
    return made


async def invites(admin: Person, **query: Any) -> InvitePage:
    page: InvitePage = await admin.ask(LIST_INVITES, ListInvites(**query))
    return page


async def test_closed_registration_refuses_everybody(postgres_server: PostgresServer) -> None:
    async with another(postgres_server, registration="closed") as system:
        token = (await invite(await somebody(system, Role.ADMIN))).token
        for fields in ({}, {"invite": token}, {"password": SecretStr("short")}):
            refused = await refusal(system, **fields)
            assert (refused.kind, refused.code) == (ErrorKind.FORBIDDEN, "auth.registration.closed")
            assert "administrator" in refused.message


async def test_invite_creates_one_account_of_its_tier(inviting: System, admin: Person) -> None:
    made = await invite(admin, tier=Tier.PRO)
    user = await register(inviting, invite=made.token)
    assert user.tier is Tier.PRO
    assert (await refusal(inviting, invite=made.token)).code == "auth.invite.invalid"
    (listed,) = [one for one in (await invites(admin)).invites if one.id == made.invite.id]
    assert (listed.used_by, listed.tier, listed.created_by) == (user.id, Tier.PRO, admin.id)
    assert listed.used_at is not None
    rows = await inviting.sql.fetch(
        "SELECT action, detail->>'invite_id' AS invite FROM audit_log ORDER BY id DESC LIMIT 2"
    )
    assert [(row["action"], row["invite"]) for row in rows] == [
        ("account.made", str(made.invite.id)),
        ("invite.created", str(made.invite.id)),
    ]


async def test_invalid_invite_reveals_no_taken_names(inviting: System, admin: Person) -> None:
    taken = await register(inviting, invite=(await invite(admin)).token)
    forged = SecretStr("cfi_" + "A" * 43)
    for username in (taken.username, new_name()):
        assert (await refusal(inviting, username=username)).code == "auth.invite.required"
        for token in (forged, SecretStr("no token at all")):
            refused = await refusal(inviting, username=username, invite=token)
            assert (refused.kind, refused.code) == (ErrorKind.FORBIDDEN, "auth.invite.invalid")


async def test_concurrent_uses_of_one_invite_create_one_account(inviting: System, admin: Person) -> None:
    token = (await invite(admin)).token
    outcomes = await asyncio.gather(*(register(inviting, invite=token) for _ in range(6)), return_exceptions=True)
    made = [outcome for outcome in outcomes if isinstance(outcome, User)]
    codes = {outcome.details.code for outcome in outcomes if isinstance(outcome, RelayedRefusal)}
    assert (len(made), codes) == (1, {"auth.invite.invalid"})


async def test_failed_registration_does_not_consume_the_invite(inviting: System, admin: Person) -> None:
    taken = await register(inviting, invite=(await invite(admin)).token)
    token = (await invite(admin)).token
    assert (await refusal(inviting, invite=token, username=taken.username)).code == "auth.account.taken"
    assert (await refusal(inviting, invite=token, password=SecretStr("short"))).code == "auth.account.invalid"
    assert (await register(inviting, invite=token)).tier is Tier.FREE


async def test_expired_and_revoked_invites_are_refused(inviting: System, admin: Person) -> None:
    expired, revoked = await invite(admin), await invite(admin)
    await inviting.sql.execute("UPDATE invites SET expires_at = now() WHERE id = $1", expired.invite.id)
    for _ in range(2):
        await admin.ask(REVOKE_INVITE, RevokeInvite(invite_id=revoked.invite.id))
    for made in (expired, revoked):
        assert (await refusal(inviting, invite=made.token)).code == "auth.invite.invalid"
    sql = "SELECT count(*) FROM audit_log WHERE action = 'invite.revoked' AND detail->>'invite_id' = $1"
    assert await inviting.sql.fetchval(sql, str(revoked.invite.id)) == 1


async def test_used_or_unknown_invite_cannot_be_revoked(inviting: System, admin: Person) -> None:
    used = await invite(admin)
    await register(inviting, invite=used.token)
    refused = await admin.refused(REVOKE_INVITE, RevokeInvite(invite_id=used.invite.id))
    assert (refused.kind, refused.code) == (ErrorKind.CONFLICT, "auth.invite.used")
    refused = await admin.refused(REVOKE_INVITE, RevokeInvite(invite_id=uuid4()))
    assert (refused.kind, refused.code) == (ErrorKind.NOT_FOUND, "auth.invite.not_found")


async def test_invite_is_stored_as_a_digest_and_never_listed(inviting: System, admin: Person) -> None:
    made = await invite(admin, expires_in_days=3)
    token = made.token.get_secret_value()
    rows = await inviting.sql.fetch("SELECT * FROM invites WHERE id = $1", made.invite.id)
    logged = await inviting.sql.fetch("SELECT detail::text FROM audit_log")
    assert len(rows) == 1
    assert token not in str([dict(row) for row in (*rows, *logged)]) + (await invites(admin)).model_dump_json()
    assert made.invite.expires_at - made.invite.created_at == timedelta(days=3)


async def test_invites_are_paged_newest_first(admin: Person) -> None:
    made = [(await invite(admin)).invite.id for _ in range(3)]
    first = await invites(admin, limit=2)
    assert ([one.id for one in first.invites], first.more) == (made[:0:-1], True)
    assert (await invites(admin, limit=1, before=first.invites[-1].id)).invites[0].id == made[0]


async def test_only_an_admin_manages_invites(inviting: System, admin: Person) -> None:
    user, made = await somebody(inviting), await invite(admin)
    for topic, command in (
        (CREATE_INVITE, CreateInvite(tier=Tier.ENTERPRISE)),
        (LIST_INVITES, ListInvites()),
        (REVOKE_INVITE, RevokeInvite(invite_id=made.invite.id)),
    ):
        assert (await user.refused(topic, command)).code == "auth.scope.missing"
    assert (await register(inviting, invite=made.token)).tier is Tier.FREE


async def test_invite_works_with_open_registration(system: System) -> None:
    made = await invite(await somebody(system, Role.ADMIN), tier=Tier.BASIC)
    assert (await register(system, invite=made.token)).tier is Tier.BASIC
    assert (await register(system)).tier is Tier.FREE
    assert (await refusal(system, invite=made.token)).code == "auth.invite.invalid"


async def tenant(system: System, user: User) -> Tenant:
    return await system.bus.request(READ_TENANT, ReadTenant(), tenant=str(user.id))


async def group_of(system: System, **fields: Any) -> UUID | None:
    return (await tenant(system, await register(system, **fields))).quota_group


@pytest.mark.requirement("table auth.quota_groups")
async def test_accounts_from_one_address_share_a_quota_group(sharing: System) -> None:
    first, second = [await group_of(sharing, ip="198.51.100.1") for _ in range(2)]
    assert first is not None
    assert first == second
    assert await group_of(sharing, ip="198.51.100.2") not in {first, None}
    six = await group_of(sharing, ip="2001:db8::1")
    assert six == await group_of(sharing, ip="2001:db8::ffff:1") != await group_of(sharing, ip="2001:db8:0:1::1")
    assert await group_of(sharing, ip=None) is None


async def test_accounts_have_their_own_quota_by_default(system: System) -> None:
    assert [await group_of(system, ip="198.51.100.9") for _ in range(2)] == [None, None]
    assert await system.sql.fetchval("SELECT count(*) FROM quota_groups") == 0


async def test_invited_accounts_have_their_own_quota(sharing: System) -> None:
    made = await invite(await somebody(sharing, Role.ADMIN))
    assert await group_of(sharing, ip="198.51.100.3", invite=made.token) is None


async def test_quota_group_accepts_new_accounts_only_within_its_window(sharing: System) -> None:
    old = await group_of(sharing, ip="198.51.100.4")
    age = "UPDATE quota_groups SET began_at = now() - $2::interval WHERE id = $1"
    await sharing.sql.execute(age, old, timedelta(days=DAYS, seconds=-60))
    assert await group_of(sharing, ip="198.51.100.4") == old
    await sharing.sql.execute(age, old, timedelta(days=DAYS))
    new = await group_of(sharing, ip="198.51.100.4")
    assert new not in {old, None}
    assert await group_of(sharing, ip="198.51.100.4") == new


async def test_address_of_a_quota_group_is_hashed_and_deleted_in_time(sharing: System) -> None:
    address = "198.51.100.77"
    group = await group_of(sharing, ip=address)
    row = await sharing.sql.fetchrow("SELECT * FROM quota_groups WHERE id = $1", group)
    assert row is not None
    assert len(row["digest"]) == 32
    assert address not in str(dict(row))
    await sharing.sql.execute("UPDATE quota_groups SET began_at = $2 WHERE id = $1", group, row["began_at"])
    database = database_with_long_timeout(sharing.database_url)
    left = "SELECT count(*) FROM quota_groups WHERE id = $1"
    try:
        for lasts, count in ((timedelta(days=DAYS), 1), (timedelta(0), 0)):
            await Pruner(database, idle=timedelta(days=7), shared_quota=lasts).tick()
            assert await sharing.sql.fetchval(left, group) == count
    finally:
        await database.close()


async def test_user_leaves_its_quota_group_by_tier_own_quota_or_admin_action(sharing: System) -> None:
    admin, user = await somebody(sharing, Role.ADMIN), await register(sharing, ip="198.51.100.5")
    group = (await tenant(sharing, user)).quota_group
    assert group is not None
    heard: asyncio.Queue[UserChanged] = asyncio.Queue()

    async def hear(message: UserChanged, _: Metadata) -> None:
        heard.put_nowait(message)

    async def told(**fields: Any) -> UUID | None:
        account = await admin.ask(CHANGE_USER, ChangeUser(user_id=user.id, **fields))
        async with asyncio.timeout(10):
            change = await heard.get()
        assert (await tenant(sharing, user)).quota_group == change.quota_group
        assert account.shares_quota == (change.quota_group is not None)
        return change.quota_group

    close = await sharing.bus.subscribe(USER_CHANGED, hear, tenant=str(user.id))
    try:
        page = await admin.ask(LIST_USERS, ListUsers(user_id=user.id))
        assert page.accounts[0].shares_quota
        assert await told(tier=Tier.BASIC) is None
        assert await told(tier=Tier.FREE) == group
        assert await told(limits=LimitsPatch(images_per_day=20)) is None
        assert await told(limits=LimitsPatch(queue_cap=3)) == group
        assert await told(shares_quota=False) is None
        assert await told(tier=Tier.BASIC) is None
        assert await told(tier=Tier.FREE) is None
    finally:
        await close()
    detail = "SELECT detail->'after' FROM audit_log WHERE subject_id = $1 AND detail->'after' ? 'shares_quota'"
    assert await sharing.sql.fetchval(detail, user.id) == '{"shares_quota": false}'


async def test_erased_account_leaves_its_quota_group(sharing: System) -> None:
    admin, user = await somebody(sharing, Role.ADMIN), await register(sharing, ip="198.51.100.6")
    await admin.ask(ERASE_USER, EraseUser(user_id=user.id))
    assert await sharing.sql.fetchval("SELECT quota_group FROM users WHERE id = $1", user.id) is None
