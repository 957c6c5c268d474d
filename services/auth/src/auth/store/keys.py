"""API keys in PostgreSQL, and the idempotent requests that created them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from auth.domain.user import StoredKey, build_listed_key
from auth.store.users import USER_COLUMNS, build_user
from chassis.database.expired_rows import ExpiredRows
from chassis.database.statement import Connection, Row, Statement
from contracts.auth.credentials import Scope
from contracts.auth.keys import Key

_FIND = Statement(f"""
SELECT k.id, k.digest, k.pepper_id, k.scopes, k.expires_at, {USER_COLUMNS},
    k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now()) AND u.is_active AS is_usable
FROM api_keys k JOIN users u ON u.id = k.user_id JOIN tiers t ON t.name = u.tier
WHERE k.id = :id
""")  # noqa: S608 - constants only
_COLUMNS = "id, name, scopes, expires_at, created_at, last_used_at"
_IS_WORKING = "user_id = :user_id AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())"
_LIST = Statement(f"SELECT {_COLUMNS} FROM api_keys WHERE {_IS_WORKING} ORDER BY created_at DESC, id")  # noqa: S608 - constants only
_COUNT = Statement(f"SELECT count(*) FROM api_keys WHERE {_IS_WORKING}")  # noqa: S608 - constants only
_GET = Statement(f"SELECT {_COLUMNS} FROM api_keys WHERE id = :id")  # noqa: S608 - constants only
_NOW = Statement("SELECT now()")
_ADD = Statement(f"""
INSERT INTO api_keys (id, user_id, digest, pepper_id, name, scopes, expires_at)
VALUES (:id, :user_id, :digest, :pepper_id, :name, :scopes, :expires_at)
RETURNING {_COLUMNS}
""")  # noqa: S608 - constants only
_REVOKE = Statement("""
UPDATE api_keys SET revoked_at = now() WHERE id = :id AND user_id = :user_id AND revoked_at IS NULL RETURNING id
""")
_REHASH = Statement("""
UPDATE api_keys SET digest = :digest, pepper_id = :pepper_id WHERE id = :id AND digest = :earlier
""")
_COUNT_BY_PEPPER = Statement("""
SELECT pepper_id, count(*) AS keys, max(last_used_at) AS last_used_at FROM api_keys
WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now()) GROUP BY pepper_id ORDER BY pepper_id
""")
_EXISTS = Statement("SELECT 1 FROM api_keys WHERE id = :id AND user_id = :user_id")
_RECORD_USES = Statement("""
UPDATE api_keys k SET last_used_at = least(seen.at, now())
FROM unnest(:ids::text[], :times::timestamptz[]) AS seen (id, at)
WHERE k.id = seen.id AND (k.last_used_at IS NULL OR k.last_used_at < least(seen.at, now()))
""")
_IS_RECENT = "created_at > now() - interval '24 hours'"
_FIND_REQUEST = Statement(f"""
SELECT request_hash, salt, key_id FROM key_requests
WHERE user_id = :user_id AND idempotency_key = :idempotency_key AND {_IS_RECENT}
""")  # noqa: S608 - constants only
_SAVE_REQUEST = Statement("""
INSERT INTO key_requests (user_id, idempotency_key, request_hash, salt, key_id)
VALUES (:user_id, :idempotency_key, :request_hash, :salt, :key_id)
ON CONFLICT (user_id, idempotency_key) DO UPDATE SET
    request_hash = excluded.request_hash, salt = excluded.salt, key_id = excluded.key_id, created_at = now()
""")
EXPIRED_REQUESTS = ExpiredRows("key_requests", "created_at <= now() - interval '24 hours'")
# The audit log keeps what was done with them.
EXPIRED_KEYS = ExpiredRows("api_keys", "least(revoked_at, expires_at) < now() - interval '90 days'")


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """A request for an API key with an Idempotency-Key. ``salt`` is that of the API key's secret."""

    idempotency_key: str
    request_hash: bytes
    salt: bytes
    key_id: str


async def find_key(connection: Connection, key_id: str) -> StoredKey | None:
    """Return the key with its user."""
    row = await _FIND.fetch_first(connection, id=key_id)
    if row is None:
        return None
    return StoredKey(
        id=row["id"],
        digest=row["digest"],
        pepper_id=row["pepper_id"],
        scopes=_to_scopes(row),
        expires_at=row["expires_at"],
        is_usable=row["is_usable"],
        user=build_user(row),
    )


async def read_transaction_time(connection: Connection) -> datetime:
    """Return the transaction's time by the database clock."""
    time: datetime = await _NOW.fetch_value(connection)
    return time


async def list_working_keys(connection: Connection, user_id: UUID) -> tuple[Key, ...]:
    """Return the user's working keys, newest first."""
    return tuple(_to_key(row) for row in await _LIST.fetch_all(connection, user_id=user_id))


async def count_working_keys(connection: Connection, user_id: UUID) -> int:
    """Count the user's working keys. Exact only under the user's lock."""
    number: int = await _COUNT.fetch_value(connection, user_id=user_id)
    return number


async def get_key(connection: Connection, key_id: str) -> Key:
    """Return the key, whether it works or not.

    Raises:
        LookupError: there is no such key.
    """
    row = await _GET.fetch_first(connection, id=key_id)
    if row is None:
        raise LookupError(key_id)
    return _to_key(row)


async def add_key(
    connection: Connection,
    user_id: UUID,
    key_id: str,
    digest: bytes,
    pepper_id: str,
    *,
    name: str,
    scopes: tuple[Scope, ...],
    expires_at: datetime | None,
) -> Key:
    row = await _ADD.fetch_first(
        connection,
        id=key_id,
        user_id=user_id,
        digest=digest,
        pepper_id=pepper_id,
        name=name,
        scopes=list(scopes),
        expires_at=expires_at,
    )
    assert row is not None  # noqa: S101 - an INSERT that returns nothing has raised
    return _to_key(row)


async def rehash_key(connection: Connection, key: StoredKey, digest: bytes, pepper_id: str) -> None:
    """Replace the digest of a key unless it has changed since it was read."""
    await _REHASH.execute(connection, id=key.id, earlier=key.digest, digest=digest, pepper_id=pepper_id)


async def count_keys_by_pepper(connection: Connection) -> dict[str | None, tuple[int, datetime | None]]:
    """Return the number of working keys, and when one was last used, by the pepper of their digests."""
    rows = await _COUNT_BY_PEPPER.fetch_all(connection)
    return {row["pepper_id"]: (row["keys"], row["last_used_at"]) for row in rows}


async def revoke_key(connection: Connection, user_id: UUID, key_id: str) -> bool | None:
    """Revoke a key; returns whether this call revoked it, or None when the user has no such key."""
    if await _REVOKE.fetch_value(connection, id=key_id, user_id=user_id) is not None:
        return True
    return False if await _EXISTS.fetch_value(connection, id=key_id, user_id=user_id) else None


async def record_uses(connection: Connection, uses: Mapping[str, datetime]) -> None:
    """Store when keys were last used. Times never decrease and never exceed the current time."""
    await _RECORD_USES.execute(connection, ids=list(uses), times=list(uses.values()))


async def find_key_request(connection: Connection, user_id: UUID, idempotency_key: str) -> KeyRequest | None:
    """Return the request of the last 24 hours with this Idempotency-Key."""
    row = await _FIND_REQUEST.fetch_first(connection, user_id=user_id, idempotency_key=idempotency_key)
    return KeyRequest(idempotency_key=idempotency_key, **row) if row else None


async def save_key_request(connection: Connection, user_id: UUID, request: KeyRequest) -> None:
    """Store for 24 hours which key a request created."""
    await _SAVE_REQUEST.execute(
        connection,
        user_id=user_id,
        idempotency_key=request.idempotency_key,
        request_hash=request.request_hash,
        salt=request.salt,
        key_id=request.key_id,
    )


def _to_scopes(row: Row) -> tuple[Scope, ...]:
    return tuple(Scope(scope) for scope in row["scopes"])


def _to_key(row: Row) -> Key:
    return build_listed_key(**(dict(row) | {"scopes": _to_scopes(row)}))
