"""Credential resolution of a public service, with scripted auth on a real NATS: changes received or missed, no auth."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from nats.aio.msg import Msg

from authn.authenticator import Authenticator
from chassis.lifecycle import run_start_steps
from contracts.auth.accounts import Role
from contracts.auth.changes import UserChanged
from contracts.auth.credentials import READ_KEYSET, InvalidCredential, Jwk, Keyset, Principal, Scope, list_scopes
from contracts.auth.tiers import Tier
from contracts.permissions import inbox_prefix
from contracts.wire.errors import Unavailable
from tests.integration.chassis.conftest import connected
from tests.kit.calling_bus import LongTimeoutBus
from tests.kit.nats import NatsServer, wait_until_processed
from tests.kit.scripted import Script
from tests.kit.scripted_auth import UNLIMITED, SigningKey, key_id
from tests.kit.waiting import until

NEVER_S = 3600.0  # disables polling, so that only messages of auth have an effect
SOON_S = 0.05
ALICE_KEY = "alice-key"


@asynccontextmanager
async def scripted(url: str) -> AsyncIterator[Script]:
    script = Script(url)
    await script.start()
    try:
        yield script
    finally:
        await script.stop()


@asynccontextmanager
async def authenticator_at(
    script: Script, url: str, *, ready: bool = True, **paces: float
) -> AsyncIterator[Authenticator]:
    """Run a resolver that has read all changes so far; by default it does not poll during a test."""
    bus = LongTimeoutBus(url, name="notifier", user=None, password=None, inbox_prefix=inbox_prefix("notifier"))
    identity = Authenticator(bus, service="notifier", **({"reread_s": NEVER_S, "revalidate_after_s": NEVER_S} | paces))

    async def start() -> None:
        await bus.start()
        for loop in identity.loops:
            loop.start()

    try:
        async with run_start_steps((start(),), faults=lambda: (bus.fault,), within_s=60):
            if ready:
                await until(lambda: is_good(identity, script.auth.token(uuid4())))
            yield identity
    finally:
        for loop in identity.loops:
            await loop.stop()
        await bus.stop()


@pytest.fixture
async def script(nats: NatsServer) -> AsyncIterator[Script]:
    async with scripted(nats.url) as script:
        yield script


@pytest.fixture
async def identity(script: Script, nats: NatsServer) -> AsyncIterator[Authenticator]:
    async with authenticator_at(script, nats.url) as identity:
        yield identity


async def is_good(identity: Authenticator, credential: str) -> bool:
    try:
        await identity.authenticate(credential)
    except (InvalidCredential, Unavailable):
        return False
    return True


async def is_refused(identity: Authenticator, credential: str) -> bool:
    """Return whether the credential is refused; False if auth does not answer."""
    try:
        await identity.authenticate(credential)
    except InvalidCredential:
        return True
    return False


@pytest.mark.requirement("B-30")
async def test_concurrent_first_uses_of_a_key_share_one_request_to_auth(
    script: Script, identity: Authenticator
) -> None:
    assert identity.find_cached(ALICE_KEY) is None
    found = await asyncio.gather(*(identity.authenticate(ALICE_KEY) for _ in range(50)))
    assert {principal.user_id for principal in found} == {script.alice}
    assert script.auth.asked == 1
    known = identity.find_cached(ALICE_KEY)
    assert known is not None
    assert (known.key_id, known.scopes) == (key_id(ALICE_KEY), list_scopes(Role.USER))


@pytest.mark.requirement("B-30")
async def test_invalid_key_costs_one_request_to_auth(script: Script, identity: Authenticator) -> None:
    for _ in range(20):
        assert await is_refused(identity, "nobody's")
    assert script.auth.asked == 1
    for bad in ("x" * 513, "a.b", "a.b.c"):
        assert await is_refused(identity, bad)
    assert script.auth.asked == 1


@pytest.mark.requirement("S-45")
async def test_access_token_is_verified_without_a_request_to_auth(script: Script, identity: Authenticator) -> None:
    token = script.auth.token(script.alice)
    principal = await identity.authenticate(token)
    assert (principal.user_id, script.auth.asked) == (script.alice, 0)
    assert identity.find_cached(token) == principal
    assert await is_refused(identity, script.auth.token(script.alice, key=SigningKey("k1")))
    assert await is_refused(identity, script.auth.token(script.alice, exp=1))


@pytest.mark.requirement("F-150")
async def test_cached_keys_and_tokens_work_while_auth_is_down_and_unknown_keys_do_not(
    script: Script, nats: NatsServer
) -> None:
    async with authenticator_at(script, nats.url, revalidate_after_s=SOON_S) as identity:
        old = script.auth.token(script.alice)
        assert await is_good(identity, ALICE_KEY)
        assert await is_good(identity, old)
        await script.stop_auth()
        new = script.auth.token(script.bob)
        started = time.monotonic()
        while time.monotonic() < started + 4 * SOON_S:  # the key becomes stale meanwhile
            for good in (ALICE_KEY, old, new):
                assert (await identity.authenticate(good)).user_id in (script.alice, script.bob)
            await asyncio.sleep(0)
        for unknown in ("bob-key", "nobody's"):
            with pytest.raises(Unavailable):
                await identity.authenticate(unknown)
        assert await is_refused(identity, script.auth.token(script.alice, key=SigningKey("k1")))
        await script.restart_auth()
        await until(lambda: is_good(identity, "bob-key"))


@pytest.mark.requirement("F-150")
async def test_cached_key_expires_while_auth_is_down(script: Script, nats: NatsServer) -> None:
    async with authenticator_at(script, nats.url, revalidate_after_s=SOON_S, max_age_s=0.3) as identity:
        assert await is_good(identity, ALICE_KEY)
        await script.stop_auth()
        await until(lambda: identity.find_cached(ALICE_KEY) is None)
        with pytest.raises(Unavailable):
            await identity.authenticate(ALICE_KEY)


async def test_credentials_are_refused_while_revocations_are_unknown(script: Script, nats: NatsServer) -> None:
    token = script.auth.token(script.alice)
    revoked = script.auth.token(script.bob)
    script.auth.change(script.bob, void_tokens=True)
    await script.stop_auth()
    async with authenticator_at(script, nats.url, ready=False) as identity:
        for credential in (token, revoked, ALICE_KEY):
            with pytest.raises(Unavailable):
                await identity.authenticate(credential)
        await script.restart_auth()
        await until(lambda: is_good(identity, token))
        assert await is_refused(identity, revoked)


async def test_credentials_are_refused_until_all_revocations_are_read(script: Script, nats: NatsServer) -> None:
    token, revoked = script.auth.token(script.alice), script.auth.token(script.bob)
    for user, void in ((script.alice, False), (script.alice, False), (script.bob, True)):
        script.auth.change(user, void_tokens=void)
    script.auth.page, reached, go_on = 2, asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        if script.auth.reads > 1:
            reached.set()
            await go_on.wait()

    script.auth.before_read = wait
    async with authenticator_at(script, nats.url, ready=False) as identity:
        await reached.wait()
        for credential in (token, revoked):
            with pytest.raises(Unavailable):
                await identity.authenticate(credential)
        go_on.set()
        await until(lambda: is_good(identity, token))
        assert await is_refused(identity, revoked)


async def test_stale_cached_key_is_verified_again_in_the_background(script: Script, nats: NatsServer) -> None:
    async with authenticator_at(script, nats.url, revalidate_after_s=SOON_S) as identity:
        assert await is_good(identity, ALICE_KEY)
        del script.auth.keys[ALICE_KEY]
        await until(lambda: identity.find_cached(ALICE_KEY) is None)
        assert await is_refused(identity, ALICE_KEY)


SAID = pytest.mark.parametrize("said", [True, False], ids=["said", "lost"])


@asynccontextmanager
async def listening(script: Script, nats: NatsServer, said: bool) -> AsyncIterator[Authenticator]:
    """Run a resolver that gets changes only from live messages (``said``) or only by polling."""
    async with authenticator_at(script, nats.url, reread_s=NEVER_S if said else SOON_S) as identity:
        yield identity


@pytest.mark.requirement("S-46", "F-156")
@SAID
async def test_revoked_key_is_refused(script: Script, nats: NatsServer, said: bool) -> None:
    async with listening(script, nats, said) as identity:
        principal = await identity.authenticate(ALICE_KEY)
        other = await identity.authenticate("bob-key")
        with identity.watch_credential(principal) as ended, identity.watch_credential(other) as not_ended:
            change = script.auth.change(script.alice, revoked_key=key_id(ALICE_KEY))
            await (script.publish_change(change) if said else asyncio.sleep(0))
            await until(ended.is_set)
            assert not not_ended.is_set()
        assert identity.find_cached(ALICE_KEY) is None
        assert await is_refused(identity, ALICE_KEY)
        assert script.auth.asked == 2


@pytest.mark.requirement("S-46", "F-156")
@SAID
async def test_deactivated_user_is_refused(script: Script, nats: NatsServer, said: bool) -> None:
    async with listening(script, nats, said) as identity:
        token = script.auth.token(script.alice)
        principals = [await identity.authenticate(credential) for credential in (ALICE_KEY, token)]
        with identity.watch_credential(principals[0]) as by_key, identity.watch_credential(principals[1]) as by_token:
            change = script.auth.change(script.alice, is_active=False)
            await (script.publish_change(change) if said else asyncio.sleep(0))
            await until(lambda: by_key.is_set() and by_token.is_set())
        assert await is_refused(identity, ALICE_KEY)
        assert await is_refused(identity, token)
        assert await is_refused(identity, script.auth.token(script.alice))


@pytest.mark.requirement("S-46", "F-156")
@SAID
async def test_ended_session_is_refused_and_other_sessions_keep_working(
    script: Script, nats: NatsServer, said: bool
) -> None:
    async with listening(script, nats, said) as identity:
        ended, other = uuid4(), script.auth.token(script.alice)
        token = script.auth.token(script.alice, sid=str(ended))
        with identity.watch_credential(await identity.authenticate(token)) as over:
            change = script.auth.change(script.alice, ended_session=ended)
            await (script.publish_change(change) if said else asyncio.sleep(0))
            await until(over.is_set)
        assert await is_refused(identity, token)
        assert await is_refused(identity, script.auth.token(script.alice, sid=str(ended)))
        assert await is_good(identity, other)
        assert await is_good(identity, ALICE_KEY)


@pytest.mark.requirement("S-46", "F-156")
@SAID
async def test_voided_tokens_are_refused_and_new_ones_accepted(script: Script, nats: NatsServer, said: bool) -> None:
    async with listening(script, nats, said) as identity:
        used, unused = script.auth.token(script.alice), script.auth.token(script.alice)
        assert await is_good(identity, ALICE_KEY)
        with identity.watch_credential(await identity.authenticate(used)) as over:
            change = script.auth.change(script.alice, void_tokens=True)
            await (script.publish_change(change) if said else asyncio.sleep(0))
            await until(over.is_set)
        assert await is_refused(identity, used)
        assert await is_refused(identity, unused)
        assert await is_good(identity, script.auth.token(script.alice))
        assert script.auth.asked == 1
        assert await is_good(identity, ALICE_KEY)
        assert script.auth.asked == 2  # a credential of its user was revoked, so the key is verified again


@pytest.mark.requirement("S-46")
@SAID
async def test_principal_has_the_newest_tier_role_and_limits(script: Script, nats: NatsServer, said: bool) -> None:
    async with listening(script, nats, said) as identity:
        script.auth.scopes["bob-key"] = (Scope.JOBS_READ, Scope.ADMIN)
        script.auth.change(script.bob, role=Role.ADMIN)
        tokens = {"admin": script.auth.token(script.bob), "user": script.auth.token(script.alice)}
        assert (await identity.authenticate("bob-key")).scopes == (Scope.JOBS_READ, Scope.ADMIN)
        assert Scope.ADMIN in (await identity.authenticate(tokens["admin"])).scopes
        assert Scope.ADMIN not in (await identity.authenticate(tokens["user"])).scopes
        limits = UNLIMITED.model_copy(update={"requests_per_minute": 7})
        changes = [
            script.auth.change(script.bob, role=Role.USER, tier=Tier.FREE),
            script.auth.change(script.alice, limits=limits, own_limits=True),
        ]
        for change in changes if said else ():
            await script.publish_change(change)

        async def newest() -> bool:
            bob = await identity.authenticate(tokens["admin"])
            return bob.tier is Tier.FREE and (await identity.authenticate(tokens["user"])).requests_per_minute == 7

        await until(newest)
        assert (await identity.authenticate(tokens["admin"])).scopes == list_scopes(Role.USER)
        assert (await identity.authenticate("bob-key")).scopes == (Scope.JOBS_READ,)


@pytest.mark.requirement("S-46")
@SAID
async def test_tier_limits_apply_to_users_without_own_limits(script: Script, nats: NatsServer, said: bool) -> None:
    async with listening(script, nats, said) as identity:
        own = UNLIMITED.model_copy(update={"requests_per_minute": 3})
        script.auth.change(script.bob, limits=own, own_limits=True)
        token = script.auth.token(script.alice)
        for credential in (token, ALICE_KEY, "bob-key"):
            await identity.authenticate(credential)
        change = script.auth.change_tier(Tier.PRO, UNLIMITED.model_copy(update={"requests_per_minute": 60}))
        await (script.publish_change(change) if said else asyncio.sleep(0))

        async def told() -> list[int | None]:
            return [
                (await identity.authenticate(credential)).requests_per_minute
                for credential in (token, ALICE_KEY, "bob-key", script.auth.token(script.alice, rpm=1))
            ]

        async def newest() -> bool:
            return await told() == [60, 60, 3, 60]

        await until(newest)


async def say_and_wait(script: Script, identity: Authenticator, *changes: UserChanged) -> None:
    """Publish changes, and wait until the resolver has received them."""
    marker = uuid4()
    last = await identity.authenticate(script.auth.token(marker))
    with identity.watch_credential(last) as heard:
        for change in (*changes, script.auth.change(marker, is_active=False)):
            await script.publish_change(change)
        await until(heard.is_set)


@pytest.mark.requirement("S-46")
async def test_late_and_reordered_changes_undo_nothing(script: Script, identity: Authenticator) -> None:
    session = uuid4()
    tokens = [script.auth.token(script.alice, sid=str(session)), script.auth.token(script.bob)]
    first = script.auth.change(script.alice, ended_session=session)
    second = script.auth.change(script.alice, tier=Tier.FREE)
    third = script.auth.change(script.bob, is_active=False)
    old = third.model_copy(update={"version": third.version - 1, "is_active": True})
    other = script.auth.token(script.alice, tier="pro", ver=1)
    await say_and_wait(script, identity, second, first, third, old, second, third, old)
    assert [await is_refused(identity, token) for token in tokens] == [True, True]
    assert (await identity.authenticate(other)).tier is Tier.FREE


@pytest.mark.requirement("S-46")
async def test_revocation_overrides_a_verification_in_flight(script: Script, identity: Authenticator) -> None:
    go_on, reached = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        reached.set()
        await go_on.wait()

    heard = await identity.authenticate(script.auth.token(script.alice))
    script.auth.before_verify = wait
    asking = asyncio.create_task(is_refused(identity, ALICE_KEY))
    await reached.wait()
    with identity.watch_credential(heard) as ended:
        change = script.auth.change(script.alice, revoked_key=key_id(ALICE_KEY), ended_session=heard.session_id)
        await script.publish_change(change)
        await until(ended.is_set)  # so the resolver gets the change before auth's outdated reply
    go_on.set()
    assert await asking
    assert identity.find_cached(ALICE_KEY) is None


@pytest.mark.requirement("S-46")
@pytest.mark.parametrize("stays", [False, True], ids=["deactivated", "tokens void"])
async def test_verification_older_than_a_change_is_repeated(
    script: Script, identity: Authenticator, stays: bool
) -> None:
    go_on, reached = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        reached.set()
        await go_on.wait()

    script.auth.before_verify = wait
    asking = asyncio.create_task(is_refused(identity, ALICE_KEY))
    await reached.wait()
    await say_and_wait(script, identity, script.auth.change(script.alice, is_active=stays, void_tokens=stays))
    go_on.set()
    assert await asking is not stays
    assert script.auth.asked == 2


@pytest.mark.requirement("F-156")
async def test_changes_missed_during_a_nats_outage_are_read_on_reconnect(own_nats: NatsServer) -> None:
    async with scripted(own_nats.url) as script, authenticator_at(script, own_nats.url) as identity:
        with identity.watch_credential(await identity.authenticate(ALICE_KEY)) as ended:
            own_nats.kill()
            await until(lambda: not script.auth_bus.connected)
            script.auth.change(script.alice, revoked_key=key_id(ALICE_KEY))
            assert identity.find_cached(ALICE_KEY) is not None
            await own_nats.start()
            await until(ended.is_set)
            await until(lambda: is_refused(identity, ALICE_KEY))


NONSENSE = [
    Keyset(keys=()),
    Keyset(keys=(Jwk(kid="k1", x="garbage"),)),
    Keyset(keys=(Jwk(kid="../k1", x="A" * 43), Jwk(kty="RSA", kid="k1", x="A" * 43))),
    Keyset(keys=tuple(Jwk(kid=f"k{index}", x="A" * 43) for index in range(1000))),
]


@pytest.mark.requirement("F-152")
@pytest.mark.parametrize("keyset", NONSENSE, ids=["empty", "garbage", "others", "huge"])
async def test_keyset_without_a_usable_key_leaves_the_current_keyset_in_place(
    script: Script, nats: NatsServer, keyset: Keyset
) -> None:
    async with authenticator_at(script, nats.url, refetch_s=0) as identity:
        before = script.auth.keysets
        script.auth.keyset = keyset
        assert await is_refused(identity, script.auth.token(script.alice, key=SigningKey("unknown")))
        assert script.auth.keysets == before + 1
        assert await is_good(identity, script.auth.token(script.alice))


@pytest.mark.requirement("F-152")
async def test_malformed_keyset_reply_leaves_the_current_keyset_in_place(script: Script, nats: NatsServer) -> None:
    answered = []

    async def answer(message: Msg) -> None:
        answered.append(message)
        await message.respond(json.dumps({"keys": "garbage" * 1000}).encode())

    async with authenticator_at(script, nats.url, refetch_s=0) as identity, connected(nats.url, "raw") as raw:
        await script.stop_auth()
        await raw._client.subscribe(READ_KEYSET.pattern, cb=answer)
        await wait_until_processed(raw._client)
        assert await is_refused(identity, script.auth.token(script.alice, key=SigningKey("unknown")))
        assert len(answered) == 1
        assert await is_good(identity, script.auth.token(script.alice))


@pytest.mark.requirement("F-153")
async def test_flood_of_unknown_key_ids_costs_one_request_to_auth(script: Script, identity: Authenticator) -> None:
    before = script.auth.keysets
    flood = [script.auth.token(script.alice, key=SigningKey(f"k-{index}")) for index in range(100)]
    assert all(await asyncio.gather(*(is_refused(identity, token) for token in flood)))
    for index in range(20):
        assert await is_refused(identity, script.auth.token(script.alice, key=SigningKey(f"again-{index}")))
    assert script.auth.keysets == before + 1
    assert script.auth.asked == 0


@pytest.mark.requirement("S-45", "F-151")
async def test_new_signing_key_is_fetched_on_first_use_and_the_old_one_stays_valid(
    script: Script, identity: Authenticator
) -> None:
    old, new = script.auth.signing, SigningKey("k2")
    script.auth.keyset = Keyset(keys=(old.jwk, new.jwk))
    for key in (new, old):
        assert await is_good(identity, script.auth.token(script.alice, key=key))


@pytest.mark.requirement("S-45")
async def test_expired_credential_is_refused(script: Script, identity: Authenticator) -> None:
    key, token, principals = "", "", list[Principal]()
    lifetime_s = 1

    async def are_accepted() -> bool:
        """Return whether a key and a token were accepted before expiry. Each call creates new ones that live longer."""
        nonlocal key, token, lifetime_s
        key, lifetime_s = f"key-{lifetime_s}", 2 * lifetime_s
        expiry = int(datetime.now(UTC).timestamp()) + lifetime_s
        script.auth.keys[key] = script.alice
        script.auth.expiries[key] = datetime.fromtimestamp(expiry, UTC)
        token = script.auth.token(script.alice, exp=expiry)
        principals.clear()
        with suppress(InvalidCredential):
            principals.extend([await identity.authenticate(credential) for credential in (key, token)])
        return bool(principals) and None not in {identity.find_cached(key), identity.find_cached(token)}

    await until(are_accepted)
    with identity.watch_credential(principals[0]) as by_key, identity.watch_credential(principals[1]) as by_token:
        await until(lambda: identity.find_cached(key) is None and identity.find_cached(token) is None)
        assert await is_refused(identity, key)
        await until(lambda: by_key.is_set() and by_token.is_set())


@pytest.mark.requirement("S-23")
async def test_last_use_of_keys_is_published_on_shutdown(script: Script, nats: NatsServer) -> None:
    await script.auth.subscribe_to_key_uses(script.auth_bus)
    async with authenticator_at(script, nats.url) as identity:
        for _ in range(3):
            await identity.authenticate(ALICE_KEY)
        await identity.authenticate(script.auth.token(script.bob))
        assert script.auth.uses == {}
    await until(lambda: set(script.auth.uses) == {key_id(ALICE_KEY)})
    assert datetime.now(UTC) - script.auth.uses[key_id(ALICE_KEY)] < timedelta(minutes=1)
