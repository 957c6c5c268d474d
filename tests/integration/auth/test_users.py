"""Users: users read their own account, admins read and change all, and the last admin cannot be removed."""

import asyncio
import json
import secrets
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from argon2 import PasswordHasher

from contracts.auth.accounts import (
    CHANGE_USER,
    LIST_USERS,
    READ_ACCOUNT,
    READ_TENANT,
    Account,
    ChangeUser,
    ListUsers,
    ReadAccount,
    ReadTenant,
    Role,
    UserPage,
)
from contracts.auth.credentials import Scope, list_scopes
from contracts.auth.tiers import LimitsPatch, Tier
from contracts.wire.errors import ErrorKind, RelayedRefusal
from tests.integration.auth.conftest import AuthCommand, AuthCommands, System, system_at
from tests.integration.auth.people import Person, is_bad, somebody, told_of, verified
from tests.kit.nats import NatsServer
from tests.kit.postgres import PostgresServer


async def change(admin: Person, user: Person, **fields: Any) -> Account:
    changed: Account = await admin.ask(CHANGE_USER, ChangeUser(user_id=user.id, **fields))
    return changed


async def page(admin: Person, **query: Any) -> UserPage:
    found: UserPage = await admin.ask(LIST_USERS, ListUsers(**query))
    return found


def names(found: UserPage) -> list[str]:
    return [account.user.username for account in found.accounts]


async def test_account_shows_its_limits_and_which_are_overridden(system: System) -> None:
    user, admin = await somebody(system, tier=Tier.BASIC), await somebody(system, Role.ADMIN)
    await change(admin, user, limits=LimitsPatch(images_per_day=None, weight=3))
    account = await user.ask(READ_ACCOUNT, ReadAccount())
    assert (account.user.id, account.user.username, account.user.tier) == (user.id, user.username, Tier.BASIC)
    assert (account.limits.images_per_day, account.limits.weight, account.limits.queue_cap) == (None, 3, 100)
    assert account.own_limits == ("images_per_day", "weight")
    tenant = await user.ask(READ_TENANT, ReadTenant())
    assert (tenant.tenant_id, tenant.is_active, tenant.limits) == (user.id, True, account.limits)


@pytest.mark.parametrize("tenant", ["_", "nobody", "0193a6c0-0000-7000-8000-000000000001"])
async def test_unknown_user_has_no_account(system: System, tenant: str) -> None:
    with pytest.raises(RelayedRefusal) as account:
        await system.bus.request(READ_ACCOUNT, ReadAccount(), tenant=tenant)
    with pytest.raises(RelayedRefusal) as limits:
        await system.bus.request(READ_TENANT, ReadTenant(), tenant=tenant)
    assert account.value.details.code == limits.value.details.code == "auth.tenant.unknown"


async def test_only_named_limits_override_the_tier(system: System) -> None:
    user, admin = await somebody(system), await somebody(system, Role.ADMIN)
    first = await change(admin, user, limits=LimitsPatch(requests_per_minute=7, max_running=None))
    assert first.own_limits == ("max_running", "requests_per_minute")
    kept = "SELECT limits::text FROM users WHERE id = $1"
    assert json.loads(await system.sql.fetchval(kept, user.id)) == {"requests_per_minute": 7, "max_running": None}
    second = await change(admin, user, limits=LimitsPatch(queue_cap=3))
    assert (second.own_limits, second.limits.requests_per_minute, second.limits.queue_cap) == (("queue_cap",), 30, 3)
    third = await change(admin, user, limits=LimitsPatch())
    assert (third.own_limits, third.limits.queue_cap) == ((), 10)
    assert await system.sql.fetchval("SELECT limits FROM users WHERE id = $1", user.id) is None


@pytest.mark.requirement("S-46", "F-156")
async def test_rate_and_role_changes_are_published_with_the_next_version(system: System) -> None:
    user, admin = await somebody(system), await somebody(system, Role.ADMIN)
    async with told_of(user) as heard:
        await change(admin, user, limits=LimitsPatch(requests_per_minute=7))
        await change(admin, user, role=Role.ADMIN, tier=Tier.PRO)
        await change(admin, user, role=Role.ADMIN)
        await change(admin, user, role=Role.USER)
        async with asyncio.timeout(10):
            told = [await heard.get() for _ in range(3)]
    assert [each.version for each in told] == [2, 3, 4]
    assert [(each.role, each.tier) for each in told] == [
        (Role.USER, Tier.FREE),
        (Role.ADMIN, Tier.PRO),
        (Role.USER, Tier.PRO),
    ]
    assert {(each.limits.requests_per_minute, each.own_limits, each.tokens_from) for each in told} == {(7, True, 0)}
    assert heard.empty()
    assert (await verified(system, user.key)).version == 4


@pytest.mark.requirement("S-46")
async def test_deactivated_user_is_refused_until_reactivated(system: System) -> None:
    user, admin = await somebody(system), await somebody(system, Role.ADMIN)
    begin = "INSERT INTO sessions (id, user_id, expires_at) VALUES ($1, $2, now() + interval '1 day')"
    await system.sql.execute(begin, uuid4(), user.id)
    async with told_of(user) as heard:
        await change(admin, user, is_active=False)
        async with asyncio.timeout(10):
            told = await heard.get()
    assert (told.is_active, told.version, told.tokens_from) == (False, 2, 2)
    assert await is_bad(system, user.key)
    assert (await user.refused(READ_ACCOUNT, ReadAccount())).code == "auth.tenant.unknown"
    assert not (await user.ask(READ_TENANT, ReadTenant())).is_active
    live = "SELECT count(*) FROM sessions WHERE user_id = $1 AND ended_at IS NULL"
    assert await system.sql.fetchval(live, user.id) == 0
    again = await change(admin, user, is_active=True)
    assert again.user.is_active
    assert (await verified(system, user.key)).version == 3
    assert await system.sql.fetchval("SELECT tokens_from FROM users WHERE id = $1", user.id) == 2


@pytest.mark.requirement("S-24")
@pytest.mark.parametrize("fault", ["user", "deactivated", "demoted", "nobody"])
async def test_only_current_admins_change_or_list_users(system: System, fault: str) -> None:
    user, actor = await somebody(system), await somebody(system, Role.USER if fault == "user" else Role.ADMIN)
    await somebody(system, Role.ADMIN)
    unmake = {"deactivated": "is_active = false", "demoted": "role = 'user'"}.get(fault)
    if unmake:
        await system.sql.execute(f"UPDATE users SET {unmake} WHERE id = $1", actor.id)  # noqa: S608 - constants only
    asking = Person(system, uuid4(), "", Role.ADMIN, "") if fault == "nobody" else actor
    for topic, command in ((CHANGE_USER, ChangeUser(user_id=user.id, tier=Tier.PRO)), (LIST_USERS, ListUsers())):
        refused = await asking.refused(topic, command)
        assert (refused.kind, refused.code) == (ErrorKind.FORBIDDEN, "auth.scope.missing")
    assert (await user.ask(READ_ACCOUNT, ReadAccount())).user.tier is Tier.FREE


async def test_unknown_user_is_not_found(system: System) -> None:
    admin = await somebody(system, Role.ADMIN)
    refused = await admin.refused(CHANGE_USER, ChangeUser(user_id=uuid4(), tier=Tier.PRO))
    assert (refused.kind, refused.code) == (ErrorKind.NOT_FOUND, "auth.user.not_found")


@pytest.mark.requirement("B-14")
async def test_user_change_with_an_unchangeable_or_unknown_field_is_refused(system: System) -> None:
    user, admin = await somebody(system), await somebody(system, Role.ADMIN)
    before = await system.sql.fetchrow("SELECT * FROM users WHERE id = $1", user.id)
    for name in ("id", "tenant_id", "username", "email", "password_hash", "version", "created_at", "state"):
        body = {"user_id": str(user.id), "tier": "pro", name: 1}
        reply = await raw(system, CHANGE_USER.subject(str(admin.id)), body)
        assert (reply["code"], [error["pointer"] for error in reply["errors"]]) == ("message.invalid", [f"/{name}"])
    nested = {"user_id": str(user.id), "limits": {"price": 0}}
    reply = await raw(system, CHANGE_USER.subject(str(admin.id)), nested)
    assert [error["pointer"] for error in reply["errors"]] == ["/limits/price"]
    assert await system.sql.fetchrow("SELECT * FROM users WHERE id = $1", user.id) == before


async def raw(system: System, subject: str, body: dict[str, Any]) -> dict[str, Any]:
    """Send a body that the contract's models would not produce; return the response."""
    reply = await system.bus._client.request(subject, json.dumps(body).encode(), timeout=20)
    found: dict[str, Any] = json.loads(reply.data)
    return found


@pytest.mark.requirement("S-82")
async def test_admin_changes_and_reads_are_audited(system: System) -> None:
    user, admin = await somebody(system), await somebody(system, Role.ADMIN)
    await change(admin, user, tier=Tier.PRO, limits=LimitsPatch(queue_cap=1), ip="2001:db8::1")
    await change(admin, user, tier=Tier.PRO, limits=LimitsPatch(queue_cap=1))
    await page(admin, search=user.username)
    changes = [entry for entry in await user.audited() if entry[0] == "user.changed"]
    detail = {
        "before": {"tier": "free", "limits": {}},
        "after": {"tier": "pro", "limits": {"queue_cap": 1}},
    }
    assert changes == [("user.changed", admin.id, detail)]
    sql = "SELECT detail::text FROM audit_log WHERE actor_id = $1 AND action = 'users.listed'"
    (listed,) = await system.sql.fetch(sql, admin.id)
    assert json.loads(listed["detail"]) == {"search": user.username, "limit": 20, "found": 1}


async def test_users_are_paged_newest_first(system: System) -> None:
    mark = secrets.token_hex(6)
    made = [await somebody(system, name=f"{mark}-{number}") for number in range(5)]
    admin = await somebody(system, Role.ADMIN)
    first = await page(admin, search=mark, limit=2)
    assert (names(first), first.more) == ([made[4].username, made[3].username], True)
    await somebody(system, name=f"{mark}-new")
    second = await page(admin, search=mark, limit=2, before=first.accounts[-1].user.id)
    assert (names(second), second.more) == ([made[2].username, made[1].username], True)
    third = await page(admin, search=mark, limit=2, before=second.accounts[-1].user.id)
    assert (names(third), third.more) == ([made[0].username], False)


async def test_users_are_searched_by_their_attributes(system: System) -> None:
    mark = secrets.token_hex(6)
    admin = await somebody(system, Role.ADMIN, name=f"{mark}-Admin")
    user = await somebody(system, tier=Tier.PRO, name=f"{mark}-user")
    gone = await somebody(system, tier=Tier.PRO, name=f"{mark}-gone")
    await change(admin, gone, is_active=False)
    for query, found in (
        ({"search": f"{mark.upper()}-ADMIN"}, [admin]),
        ({"search": f"{mark}-user@local"}, [user]),
        ({"search": mark, "role": Role.ADMIN}, [admin]),
        ({"search": mark, "tier": Tier.PRO}, [gone, user]),
        ({"search": mark, "is_active": False}, [gone]),
        ({"search": mark, "tier": Tier.PRO, "is_active": True}, [user]),
        ({"user_id": user.id}, [user]),
        ({"user_id": user.id, "search": "nobody"}, []),
        ({"search": f"{mark}%"}, []),
        ({"search": f"{mark}_user"}, []),
        ({"search": "\\"}, []),
        ({"search": "' OR true --"}, []),
    ):
        assert names(await page(admin, **query)) == [each.username for each in found], query


@pytest.mark.requirement("B-95")
async def test_last_admin_remains_when_two_admins_demote_each_other(postgres_server: PostgresServer) -> None:
    nats = NatsServer()
    try:
        await nats.start()
        async with system_at(nats.url, await postgres_server.create_database("auth")) as system:
            for last in ({"role": Role.USER}, {"is_active": False}):
                await system.sql.execute("UPDATE users SET role = 'user'")
                one, two = await somebody(system, Role.ADMIN), await somebody(system, Role.ADMIN)
                done = await asyncio.gather(change(one, two, **last), change(two, one, **last), return_exceptions=True)
                assert [type(each) for each in done].count(RelayedRefusal) == 1
                left = one if isinstance(done[0], Account) else two
                leads = "SELECT id FROM users WHERE role = 'admin' AND is_active"
                assert [row["id"] for row in await system.sql.fetch(leads)] == [left.id]
                refused = await left.refused(CHANGE_USER, ChangeUser(user_id=left.id, **last))
                assert (refused.kind, refused.code) == (ErrorKind.CONFLICT, "auth.user.last_admin")
                assert (await change(left, left, tier=Tier.PRO)).user.role is Role.ADMIN
    finally:
        nats.remove()


async def bootstrapped(auth_commands: AuthCommands, system: System, *argv: str, typed: str = "") -> AuthCommand:
    return await auth_commands.run(system.database_url, "bootstrap", "--output", "-", *argv, typed=typed)


async def test_repeated_bootstrap_creates_one_user_with_two_keys(
    system: System, auth_commands: AuthCommands, tmp_path: Path
) -> None:
    name, output = f"Boot-{secrets.token_hex(4)}", tmp_path / "answer"
    password = "correct horse battery staple 9"
    first = await bootstrapped(
        auth_commands, system, "--username", name, "--role", "admin", "--password-stdin", typed=password + "\n"
    )
    assert first.returncode == 0, first.stderr
    answer = json.loads(first.stdout.splitlines()[-1])
    second = await bootstrapped(
        auth_commands, system, "--username", name.lower(), "--tier", "pro", "--output", str(output)
    )
    assert second.returncode == 0, second.stderr
    assert output.stat().st_mode & 0o777 == 0o600
    again = json.loads(output.read_text())
    assert again["user_id"] == answer["user_id"]
    principals = [await verified(system, each["key"]) for each in (answer, again)]
    assert [each.scopes for each in principals] == [list_scopes(Role.ADMIN)] * 2
    assert {(each.username, each.tier, each.expires_at) for each in principals} == {(name, Tier.FREE, None)}
    assert Scope.ADMIN in principals[0].scopes
    user = Person(system, UUID(answer["user_id"]), name, Role.ADMIN, answer["key"])
    assert [(action, actor, detail["password"]) for action, actor, detail in await user.audited()] == [
        ("account.bootstrapped", None, True),
        ("account.bootstrapped", None, False),
    ]
    kept = await system.sql.fetchval("SELECT password_hash FROM users WHERE id = $1", user.id)
    assert kept.startswith("$argon2id$")
    assert PasswordHasher().verify(kept, password)


async def test_bootstrap_sets_the_graph_policy_of_new_users_only(system: System, auth_commands: AuthCommands) -> None:
    name = f"boot-{secrets.token_hex(4)}"
    for policy in ("open", "strict"):
        made = await bootstrapped(auth_commands, system, "--username", name, "--tier", "pro", "--graph-policy", policy)
        answer = json.loads(made.stdout.splitlines()[-1])
        user = Person(system, UUID(answer["user_id"]), name, Role.USER, answer["key"])
        account = await user.ask(READ_ACCOUNT, ReadAccount())
        assert (account.own_limits, account.limits.graph_policy) == (("graph_policy",), "open")
        assert account.limits.graph_nodes == 2000, "all other limits come from the tier"


async def test_bootstrap_refuses_a_weak_password_and_a_taken_address(
    system: System, auth_commands: AuthCommands
) -> None:
    user, name = await somebody(system), f"boot-{secrets.token_hex(4)}"
    weak = await bootstrapped(auth_commands, system, "--username", name, "--password-stdin", typed="password\n")
    email = f"{user.username}@LOCALHOST"
    taken = await bootstrapped(auth_commands, system, "--username", name, "--email", email)
    assert [(each.returncode, each.stdout.splitlines()) for each in (weak, taken)] == [(1, []), (1, [])]
    assert "15 characters" in weak.stderr
    assert "already in use" in taken.stderr
    assert "Traceback" not in weak.stderr + taken.stderr
    assert not await system.sql.fetchval("SELECT count(*) FROM users WHERE username = $1", name)


async def test_bootstrap_refuses_an_invalid_username_unless_its_user_exists(
    system: System, auth_commands: AuthCommands
) -> None:
    user, name = await somebody(system), f"boot-{secrets.token_hex(4)}@example.org"
    refused = await bootstrapped(auth_commands, system, "--username", name)
    assert (refused.returncode, refused.stdout.splitlines()) == (1, [])
    assert "3 to 32 ASCII letters" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not await system.sql.fetchval("SELECT count(*) FROM users WHERE username = $1", name)
    await system.sql.execute("UPDATE users SET username = $2 WHERE id = $1", user.id, name)
    accepted = await bootstrapped(auth_commands, system, "--username", name)
    assert accepted.returncode == 0, accepted.stderr
    assert json.loads(accepted.stdout.splitlines()[-1])["user_id"] == str(user.id)
