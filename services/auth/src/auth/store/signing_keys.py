"""Encrypted signing keys in PostgreSQL."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from chassis.database.statement import Connection, Statement

_LOCK_KEY = 0x6B6579736574  # "keyset"


@dataclass(frozen=True, slots=True)
class EncryptedKey:
    """A stored signing key.

    Attributes:
        is_active: whether its ``signs_from`` has passed. The newest active key signs.
        is_due: whether it has been active for its lifetime and must be replaced.
        now: the transaction's time by the database clock.
    """

    kid: str
    private_key: bytes
    is_active: bool
    is_due: bool
    now: datetime


_LOCK = Statement("SELECT pg_advisory_xact_lock(:key)")
_COLUMNS = """
kid, private_key, signs_from <= now() AS is_active,
signs_from <= now() - CAST(:life AS interval) AS is_due, now() AS now
"""
_FIND_NEWEST = Statement(f"""
SELECT {_COLUMNS} FROM signing_keys ORDER BY signs_from DESC, kid LIMIT 1
""")  # noqa: S608 - constants only
_FIND_ACTIVE = Statement(f"""
SELECT {_COLUMNS} FROM signing_keys WHERE signs_from <= now() ORDER BY signs_from DESC, kid LIMIT 1
""")  # noqa: S608 - constants only
_LIST_PUBLIC = Statement("SELECT kid, public_key FROM signing_keys ORDER BY signs_from DESC, kid")
_LIST_PRIVATE = Statement("SELECT kid, private_key FROM signing_keys")
_REPLACE_PRIVATE = Statement("UPDATE signing_keys SET private_key = :private_key WHERE kid = :kid")
_ADD = Statement("""
INSERT INTO signing_keys (kid, public_key, private_key, signs_from)
VALUES (:kid, :public_key, :private_key, now() + CAST(:active_in AS interval))
""")
# A key signs until the next one becomes active, and verifies until the last token it signed expires.
_PRUNE = Statement("""
DELETE FROM signing_keys old
WHERE EXISTS (SELECT 1 FROM signing_keys young
              WHERE young.signs_from > old.signs_from AND young.signs_from < now() - CAST(:token_life AS interval))
""")
_DELETE_ALL = Statement("DELETE FROM signing_keys")


async def lock_keys(connection: Connection) -> None:
    """Prevent other transactions from adding or removing keys until this one ends."""
    await _LOCK.execute(connection, key=_LOCK_KEY)


async def find_newest_key(connection: Connection, *, life: timedelta) -> EncryptedKey | None:
    row = await _FIND_NEWEST.fetch_first(connection, life=life)
    return EncryptedKey(**row) if row else None


async def find_active_key(connection: Connection, *, life: timedelta) -> EncryptedKey | None:
    """Return the key that signs at the time of this transaction."""
    row = await _FIND_ACTIVE.fetch_first(connection, life=life)
    return EncryptedKey(**row) if row else None


async def list_public_keys(connection: Connection) -> list[tuple[str, bytes]]:
    """Return key id and public key of every key, newest first."""
    return [(row["kid"], row["public_key"]) for row in await _LIST_PUBLIC.fetch_all(connection)]


async def list_private_keys(connection: Connection) -> list[tuple[str, bytes]]:
    """Return key id and encrypted private key of every key."""
    return [(row["kid"], row["private_key"]) for row in await _LIST_PRIVATE.fetch_all(connection)]


async def replace_private_key(connection: Connection, kid: str, private_key: bytes) -> None:
    """Store a private key that was encrypted again."""
    await _REPLACE_PRIVATE.execute(connection, kid=kid, private_key=private_key)


async def add_key(
    connection: Connection, *, kid: str, public_key: bytes, private_key: bytes, active_in: timedelta
) -> None:
    """Store a key that becomes active after ``active_in``."""
    await _ADD.execute(connection, kid=kid, public_key=public_key, private_key=private_key, active_in=active_in)


async def prune_keys(connection: Connection, *, token_life: timedelta) -> None:
    """Delete keys whose tokens have all expired."""
    await _PRUNE.execute(connection, token_life=token_life)


async def delete_all_keys(connection: Connection) -> None:
    """Delete every key, which voids all access tokens."""
    await _DELETE_ALL.execute(connection)
