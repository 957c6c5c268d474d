"""API keys: verification, scopes, expiry and revocation."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from auth.domain.api_key import ApiKey, new_api_key, parse_api_key
from contracts.auth.accounts import Role
from contracts.auth.credentials import VERIFY_CREDENTIAL, Scope, VerifyCredential, list_scopes
from contracts.auth.keys import (
    CREATE_KEY,
    KEYS_USED,
    LIST_KEYS,
    REVOKE_KEY,
    CreatedKey,
    Key,
    KeysUsed,
    ListKeys,
    RevokeKey,
)
from contracts.auth.tiers import Tier
from contracts.wire.errors import ErrorKind, RelayedRefusal, Unavailable
from tests.integration.auth.conftest import System
from tests.integration.auth.people import JOBS, Person, is_bad, somebody, told_of, verified
from tests.kit.waiting import until


def text_of(made: CreatedKey) -> str:
    return made.text.get_secret_value()


async def keys_of(person: Person) -> tuple[Key, ...]:
    found: tuple[Key, ...] = (await person.ask(LIST_KEYS, ListKeys())).keys
    return found


async def test_verified_key_returns_its_principal_with_limits(system: System) -> None:
    user = await somebody(system, tier=Tier.PRO)
    made = await user.make_key(scopes=(Scope.JOBS_READ,))
    principal = await verified(system, text_of(made))
    assert (principal.user_id, principal.username, principal.tier) == (user.id, user.username, Tier.PRO)
    assert (principal.role, principal.scopes) == (Role.USER, (Scope.JOBS_READ,))
    assert (principal.requests_per_minute, principal.own_limits) == (600, False)
    assert (principal.key_id, principal.session_id, principal.version) == (made.key.id, None, 1)
    assert principal.expires_at == made.key.expires_at
    await system.sql.execute("UPDATE users SET limits = '{\"requests_per_minute\": null}' WHERE id = $1", user.id)
    unlimited = await verified(system, text_of(made))
    assert (unlimited.requests_per_minute, unlimited.own_limits) == (None, True)


@pytest.mark.requirement("B-35", "S-21")
async def test_key_with_a_wrong_checksum_is_refused_without_a_lookup(system: System) -> None:
    good = new_api_key().text
    other = "0" if good[-1] != "0" else "1"
    typos = [good[:-1] + other, good + " ", "cf_\u0661" + good[4:], good[:-1], "cf_", "x" * 1024, good.upper()]
    connection = await asyncpg.connect(system.database_url.replace("+asyncpg", ""))
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE api_keys IN ACCESS EXCLUSIVE MODE")
            assert [await is_bad(system, typo) for typo in typos] == [True] * len(typos)
            question = VerifyCredential(credential=SecretStr(good))
            with pytest.raises(Unavailable):  # waits for the table lock: the key is not cached
                await system.bus.request(VERIFY_CREDENTIAL, question, within_s=0.3)
    finally:
        await connection.close()
    assert await is_bad(system, good)


@pytest.mark.requirement("B-35", "S-22")
async def test_all_invalid_keys_get_the_same_response(system: System) -> None:
    user, other = await somebody(system), await somebody(system)
    revoked, expired = await user.make_key(), await user.make_key()
    await user.ask(REVOKE_KEY, RevokeKey(key_id=revoked.key.id))
    past = "UPDATE api_keys SET expires_at = now() - interval '1 second' WHERE id = $1"
    await system.sql.execute(past, expired.key.id)
    mine, theirs = parse_api_key(user.key), parse_api_key(other.key)
    assert mine is not None
    assert theirs is not None
    bad = [
        new_api_key().text,
        text_of(revoked),
        text_of(expired),
        ApiKey(id=mine.id, secret=theirs.secret).text,
        "password",
    ]
    refusals = set()
    for text in bad:
        with pytest.raises(RelayedRefusal) as relayed:
            await verified(system, text)
        refusals.add(relayed.value.details.model_dump_json())
    assert len(refusals) == 1
    await system.sql.execute("UPDATE users SET is_active = false WHERE id = $1", user.id)
    assert await is_bad(system, user.key)
    assert not await is_bad(system, other.key)


@pytest.mark.requirement("S-20")
async def test_api_key_is_not_stored_in_plain_text(system: System) -> None:
    user = await somebody(system)
    made = await user.make_key(idempotency_key="once")
    secret = text_of(made).removeprefix(made.key.prefix + "_")
    tables = await system.sql.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert "api_keys" in {row["tablename"] for row in tables}
    for row in tables:
        kept = await system.sql.fetch(f'SELECT t::text AS said FROM "{row["tablename"]}" t')  # noqa: S608 - our tables
        for line in kept:
            assert secret[:16] not in line["said"]
            assert secret.encode().hex()[:32] not in line["said"]
    assert secret not in (await user.ask(LIST_KEYS, ListKeys())).model_dump_json()
    digest = await system.sql.fetchval("SELECT digest FROM api_keys WHERE id = $1", made.key.id)
    assert len(digest) == 32


@pytest.mark.requirement("S-23")
async def test_api_key_expires_after_ninety_days_by_default(system: System) -> None:
    user = await somebody(system)
    usual = (await user.make_key(name="  usual ")).key
    assert usual.name == "usual"
    assert usual.expires_at is not None
    assert usual.expires_at - usual.created_at == timedelta(days=90)
    asked = datetime.now(UTC) + timedelta(days=365)
    assert (await user.make_key(expires_at=asked)).key.expires_at == asked
    listed = await keys_of(user)
    assert [key.name for key in listed] == ["laptop", "usual", "bootstrap"]
    assert listed[1] == usual
    assert usual.prefix == f"cf_{usual.id}"


@pytest.mark.requirement("B-36")
@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"name": "   "}, "/name"),
        ({"name": "a\x00b"}, "/name"),
        ({"name": "a\nb"}, "/name"),
        ({"name": "a\u202eb"}, "/name"),
        ({"expires_at": "past"}, "/expires_at"),
        ({"expires_at": "far"}, "/expires_at"),
        ({"expires_at": datetime(2999, 1, 1, tzinfo=UTC)}, "/expires_at"),
        ({"expires_at": datetime(2026, 12, 24)}, "/expires_at"),  # noqa: DTZ001 - in no time zone
    ],
)
async def test_invalid_key_parameters_are_refused(system: System, fields: dict[str, Any], pointer: str) -> None:
    user, now = await somebody(system), datetime.now(UTC)
    times = {"past": now - timedelta(seconds=1), "far": now + timedelta(days=366, minutes=5)}
    refused = await user.refused(
        CREATE_KEY, user.key_request(**{name: times.get(value, value) for name, value in fields.items()})
    )
    assert (refused.kind, refused.code) == (ErrorKind.INVALID, "auth.key.invalid")
    assert [error.pointer for error in refused.errors] == [pointer]
    assert len(await keys_of(user)) == 1


@pytest.mark.requirement("B-36")
async def test_key_name_of_ten_thousand_characters_is_refused(system: System) -> None:
    user = await somebody(system)
    request = user.key_request().model_copy(update={"name": "n" * 10_000})
    refused = await user.refused(CREATE_KEY, request)
    assert (refused.code, [error.pointer for error in refused.errors]) == ("message.invalid", ["/name"])


@pytest.mark.requirement("B-36", "S-24")
async def test_api_key_cannot_exceed_the_rights_of_its_creator(system: System) -> None:
    user, admin = await somebody(system), await somebody(system, Role.ADMIN)
    for person, scopes, granted in (
        (user, (Scope.JOBS_READ, Scope.JOBS_WRITE), (Scope.JOBS_READ, Scope.KEYS)),
        (user, (Scope.ADMIN,), tuple(Scope)),
        (admin, (Scope.ADMIN,), (Scope.KEYS,)),
    ):
        refused = await person.refused(CREATE_KEY, person.key_request(scopes=scopes, granted=granted))
        assert (refused.kind, refused.code) == (ErrorKind.FORBIDDEN, "auth.scope.not_granted")
    made = await admin.make_key(scopes=(Scope.ADMIN, Scope.JOBS_READ, Scope.ADMIN))
    assert made.key.scopes == (Scope.JOBS_READ, Scope.ADMIN)
    assert (await verified(system, text_of(made))).scopes == (Scope.JOBS_READ, Scope.ADMIN)
    refused = await user.refused(CREATE_KEY, user.key_request(granted=JOBS))
    assert (refused.kind, refused.code) == (ErrorKind.FORBIDDEN, "auth.scope.missing")


@pytest.mark.requirement("S-24")
async def test_api_key_loses_the_rights_that_its_user_loses(system: System) -> None:
    admin = await somebody(system, Role.ADMIN)
    assert (await verified(system, admin.key)).scopes == list_scopes(Role.ADMIN)
    await system.sql.execute("UPDATE users SET role = 'user' WHERE id = $1", admin.id)
    assert (await verified(system, admin.key)).scopes == list_scopes(Role.USER)


@pytest.mark.requirement("B-36")
async def test_concurrent_requests_cannot_exceed_a_hundred_keys_per_user(system: System) -> None:
    user = await somebody(system)
    fill = """
        INSERT INTO api_keys (id, user_id, digest, name, scopes)
        SELECT left(md5(random()::text), 12), $1, '', 'filler', '{}' FROM generate_series(1, 98)
    """
    await system.sql.execute(fill, user.id)
    asked = await asyncio.gather(*(user.ask(CREATE_KEY, user.key_request()) for _ in range(30)), return_exceptions=True)
    made = [each for each in asked if isinstance(each, CreatedKey)]
    refused = [each.details for each in asked if isinstance(each, RelayedRefusal)]
    assert (len(made), len(refused)) == (1, 29)
    assert {(each.kind, each.code) for each in refused} == {(ErrorKind.CONFLICT, "auth.key.too_many")}
    assert "100" in refused[0].message
    assert len(await keys_of(user)) == 100
    await user.ask(REVOKE_KEY, RevokeKey(key_id=made[0].key.id))
    await system.sql.execute("UPDATE api_keys SET expires_at = now() WHERE name = 'filler' AND user_id = $1", user.id)
    assert len(await keys_of(user)) == 1
    await user.make_key()


async def test_repeated_key_request_returns_the_same_key(system: System) -> None:
    user = await somebody(system)
    first = await user.make_key(idempotency_key="k")
    again = await user.make_key(idempotency_key="k")
    assert (first.replayed, again.replayed) == (False, True)
    assert (again.key, text_of(again)) == (first.key, text_of(first))
    assert len(await keys_of(user)) == 2
    assert (await verified(system, text_of(again))).key_id == first.key.id
    for other in ({"name": "other"}, {"scopes": (Scope.JOBS_READ,)}, {"expires_at": datetime.now(UTC)}):
        refused = await user.refused(CREATE_KEY, user.key_request(idempotency_key="k", **other))
        assert (refused.kind, refused.code) == (ErrorKind.INVALID, "auth.key.idempotency_reused")
    stranger = await somebody(system)
    theirs = await stranger.make_key(idempotency_key="k")
    assert (theirs.replayed, text_of(theirs) == text_of(first)) == (False, False)


async def test_concurrent_requests_with_one_idempotency_key_create_one_key(system: System) -> None:
    user = await somebody(system)
    made = await asyncio.gather(*(user.make_key(idempotency_key="k") for _ in range(8)))
    assert len({text_of(each) for each in made}) == 1
    assert sorted(each.replayed for each in made) == [False] + [True] * 7
    assert len(await keys_of(user)) == 2
    assert len([action for action, _, _ in await user.audited() if action == "key.created"]) == 1


@pytest.mark.requirement("S-24")
async def test_idempotent_replay_shows_the_key_only_to_a_credential_that_may_create_it(system: System) -> None:
    user = await somebody(system)
    await user.make_key(idempotency_key="k")
    request = user.key_request(idempotency_key="k", granted=(Scope.KEYS,))
    assert (await user.refused(CREATE_KEY, request)).code == "auth.scope.not_granted"


async def test_idempotency_key_is_reusable_after_a_day(system: System) -> None:
    user = await somebody(system)
    first = await user.make_key(idempotency_key="k")
    await system.sql.execute("UPDATE key_requests SET created_at = now() - interval '25 hours'")
    second = await user.make_key(idempotency_key="k", name="another")
    assert not second.replayed
    assert second.key.id != first.key.id
    assert text_of(await user.make_key(idempotency_key="k", name="another")) == text_of(second)


@pytest.mark.requirement("S-23", "S-46")
async def test_revoking_a_key_takes_effect_at_once_and_is_published(system: System) -> None:
    user, other = await somebody(system), await somebody(system)
    made = await user.make_key()
    assert (await other.refused(REVOKE_KEY, RevokeKey(key_id=made.key.id))).code == "auth.key.not_found"
    assert not await is_bad(system, text_of(made))
    async with told_of(user) as heard:
        await user.ask(REVOKE_KEY, RevokeKey(key_id=made.key.id))
        await user.ask(REVOKE_KEY, RevokeKey(key_id=made.key.id))
        async with asyncio.timeout(10):
            change = await heard.get()
    assert (change.user_id, change.version, change.revoked_key) == (user.id, 2, made.key.id)
    assert (change.tokens_from, change.ended_session) == (0, None)
    assert heard.empty()
    assert await is_bad(system, text_of(made))
    assert not await is_bad(system, user.key)
    assert (await user.refused(REVOKE_KEY, RevokeKey(key_id="nothing"))).kind is ErrorKind.NOT_FOUND


@pytest.mark.requirement("S-82")
async def test_key_creation_and_revocation_are_audited_without_the_secret(system: System) -> None:
    user = await somebody(system)
    made = await user.make_key(ip="192.0.2.7")
    await user.ask(REVOKE_KEY, RevokeKey(key_id=made.key.id, ip="192.0.2.7"))
    (_, created, revoked) = await user.audited()
    assert created[:2] == ("key.created", user.id)
    assert created[2] == {
        "key_id": made.key.id,
        "scopes": ["jobs:read", "jobs:write"],
        "expires_at": made.key.expires_at.isoformat() if made.key.expires_at else "",
    }
    assert revoked == ("key.revoked", user.id, {"key_id": made.key.id})
    sql = "SELECT DISTINCT ip FROM audit_log WHERE subject_id = $1 AND action LIKE 'key.%'"
    assert [row["ip"] for row in await system.sql.fetch(sql, user.id)] == ["192.0.2.7"]


@pytest.mark.requirement("S-23")
async def test_last_use_of_a_key_only_moves_forward_and_never_into_the_future(system: System) -> None:
    user, now = await somebody(system), datetime.now(UTC)
    usual, early = (await user.make_key()).key.id, (await user.make_key()).key.id

    async def used() -> dict[str, datetime | None]:
        return {key.id: key.last_used_at for key in await keys_of(user)}

    async def say(**uses: datetime) -> None:
        await system.bus.publish(KEYS_USED, KeysUsed(uses=uses))

    await say(**{usual: now - timedelta(hours=1), early: now + timedelta(hours=1), "unknown": now})
    await until(lambda: _all(used, usual, early))
    first = await used()
    assert first[usual] == now - timedelta(hours=1)
    assert now <= (first[early] or now) <= datetime.now(UTC) + timedelta(seconds=1)
    await say(**{usual: now - timedelta(hours=2), early: now})
    await say(**{usual: now})

    async def forward() -> bool:
        return (await used())[usual] == now

    await until(forward)
    assert (await used())[early] == first[early]


async def _all(used: Any, *keys: str) -> bool:
    found = await used()
    return all(found[key] is not None for key in keys)
