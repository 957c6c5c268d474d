"""Access tokens and signing keys."""

import asyncio
import base64
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from auth.domain.signing_key import SigningKeyCipher
from auth.usecases.sign_tokens import AccessTokenSigner
from chassis.database.postgres import Database
from chassis.messaging.bus import Bus
from contracts.auth.credentials import ALGORITHM, AUDIENCE, ISSUER, READ_KEYSET, ReadKeyset
from contracts.auth.sessions import SessionTokens
from tests.integration.auth.conftest import (
    SECRET,
    AuthCommands,
    Person,
    System,
    login,
    register,
    replica_at,
    system_at,
)
from tests.kit.nats import NatsServer
from tests.kit.postgres import PostgresServer, database_with_long_timeout


async def keyset(bus: Bus) -> dict[str, Ed25519PublicKey]:
    """Return the published keys, newest first."""
    listed = (await bus.request(READ_KEYSET, ReadKeyset())).keys
    return {jwk.kid: Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(jwk.x + "=")) for jwk in listed}


def kid_of(session: SessionTokens) -> str:
    return str(jwt.get_unverified_header(session.access_token.get_secret_value())["kid"])


def verified(session: SessionTokens, key: Ed25519PublicKey) -> dict[str, object]:
    token = session.access_token.get_secret_value()
    read: dict[str, object] = jwt.decode(token, key, [ALGORITHM], audience=AUDIENCE, issuer=ISSUER)
    return read


@pytest.fixture
async def keys(postgres_server: PostgresServer) -> AsyncIterator["Keys"]:
    """A separate database in which a test can change the age of signing keys."""
    url = await postgres_server.create_database("auth")
    database = database_with_long_timeout(url, pool_size=4)
    sql = await asyncpg.create_pool(url.replace("+asyncpg", ""), min_size=1, max_size=2)
    try:
        yield Keys(url, database, sql)
    finally:
        await sql.close()
        await database.close()


class Keys:
    """Signing keys in a database, for any number of signers."""

    def __init__(self, url: str, database: Database, sql: asyncpg.Pool) -> None:
        self.url, self._database, self._sql = url, database, sql

    def signer(self, secret: str = SECRET) -> AccessTokenSigner:
        return AccessTokenSigner(
            self._database, SigningKeyCipher(secret), token_life=timedelta(minutes=15), key_life=timedelta(days=30)
        )

    async def age(self, by: str) -> None:
        """Move every key into the past."""
        await self._sql.execute("UPDATE signing_keys SET signs_from = signs_from - $1::text::interval", by)

    async def kids(self) -> list[str]:
        """Return the key ids, newest first."""
        return [row["kid"] for row in await self._sql.fetch("SELECT kid FROM signing_keys ORDER BY signs_from DESC")]

    async def signing(self) -> str:
        found: str = await self._sql.fetchval(
            "SELECT kid FROM signing_keys WHERE signs_from <= now() ORDER BY signs_from DESC LIMIT 1"
        )
        return found


@pytest.mark.requirement("S-41")
async def test_access_token_has_every_required_claim(bus: Bus, person: Person) -> None:
    session = await login(bus, person)
    claims = verified(session, (await keyset(bus))[kid_of(session)])
    assert set(claims) == {
        "iss", "aud", "sub", "sid", "jti", "iat", "exp", "username", "tier", "role", "rpm", "own", "ver",
    }  # fmt: skip
    assert (claims["sub"], claims["username"], claims["tier"]) == (str(person.id), person.username, "free")
    assert (claims["role"], claims["rpm"], claims["own"], claims["ver"]) == ("user", 30, False, 1)
    assert session.expires_in == 900
    assert int(str(claims["exp"])) - int(str(claims["iat"])) == 900
    assert datetime.fromtimestamp(int(str(claims["iat"])), UTC) <= datetime.now(UTC)


@pytest.mark.requirement("S-41")
async def test_access_token_carries_the_users_own_limits(bus: Bus, sql: asyncpg.Pool, person: Person) -> None:
    query = "UPDATE users SET limits = '{\"requests_per_minute\": null}', version = 7 WHERE id = $1"
    await sql.execute(query, person.id)
    session = await login(bus, person)
    claims = verified(session, (await keyset(bus))[kid_of(session)])
    assert (claims["rpm"], claims["own"], claims["ver"]) == (None, True, 7)


@pytest.mark.requirement("S-45")
async def test_private_signing_key_is_not_stored_in_plain_text(sql: asyncpg.Pool, bus: Bus) -> None:
    assert await keyset(bus)
    for row in await sql.fetch("SELECT * FROM signing_keys"):
        opened = SigningKeyCipher(SECRET).decrypt(row["kid"], row["private_key"])
        assert opened is not None
        assert opened.private.private_bytes_raw() not in row["private_key"]
        public = Ed25519PrivateKey.from_private_bytes(opened.private.private_bytes_raw()).public_key()
        assert public.public_bytes_raw() == row["public_key"]


@pytest.mark.requirement("F-151")
async def test_replicas_that_start_together_create_one_signing_key(keys: Keys) -> None:
    signers = [keys.signer() for _ in range(5)]
    listed = await asyncio.gather(*(signer.read_keyset() for signer in signers))
    assert len(await keys.kids()) == 1
    assert all(keyset == listed[0] for keyset in listed)
    assert await keys.signing() == listed[0].keys[0].kid


@pytest.mark.requirement("F-151")
async def test_next_signing_key_is_published_early_and_the_old_one_until_its_tokens_expire(
    keys: Keys,
) -> None:
    signer = keys.signer()
    await signer.rotate_keys()
    (old,) = await keys.kids()
    await keys.age("29 days")
    await signer.rotate_keys()
    assert await keys.kids() == [old]
    await keys.age("1 day")
    await asyncio.gather(*(keys.signer().rotate_keys() for _ in range(3)))
    new, _ = await keys.kids()
    assert await keys.signing() == old
    assert [jwk.kid for jwk in (await signer.read_keyset()).keys] == [new, old]
    await keys.age("60 s")
    assert await keys.signing() == new
    await keys.age("15 min")
    await signer.rotate_keys()
    assert await keys.kids() == [new, old]
    await keys.age("61 s")
    await signer.rotate_keys()
    assert await keys.kids() == [new]


@pytest.mark.requirement("F-151")
async def test_key_rotation_invalidates_no_token_and_needs_no_restart(
    own_nats: NatsServer, keys: Keys, auth_commands: AuthCommands
) -> None:
    async with system_at(own_nats.url, keys.url) as system:
        person = await register(system.bus)
        before = await login(system.bus, person)
        made = await auth_commands.run(keys.url, "rotate-keys")
        assert made.returncode == 0, made.stderr
        assert "signs access tokens within a minute" in made.stdout
        assert await keys.signer().rotate_keys_now() is None  # a next key is already scheduled
        assert kid_of(await login(system.bus, person)) == kid_of(before)
        await keys.age("60 s")
        after = await login(system.bus, person)
        assert kid_of(after) != kid_of(before)
        listed = await keyset(system.bus)
        for session in (before, after):
            assert verified(session, listed[kid_of(session)])["sub"] == str(person.id)


@pytest.mark.requirement("S-45")
async def test_changed_secret_key_replaces_signing_keys_that_it_cannot_decrypt(keys: Keys) -> None:
    await keys.signer().rotate_keys()
    (old,) = await keys.kids()
    changed = keys.signer("another secret")
    await changed.rotate_keys()
    (new,) = await keys.kids()
    assert new != old
    await changed.rotate_keys()
    assert await keys.kids() == [new]


@pytest.mark.requirement("F-151")
async def test_replicas_sign_with_the_same_key(system: System, person: Person) -> None:
    kids = {kid_of(await login(system.bus, person)) for _ in range(2)}
    async with replica_at(system.nats_url, system.database_url):
        kids |= {kid_of(await login(system.bus, person)) for _ in range(6)}
    assert len(kids) == 1
