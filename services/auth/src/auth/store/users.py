"""Users in PostgreSQL, with their effective limits."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from auth.domain.user import User
from chassis.database.statement import Connection, Row, Statement
from chassis.ids import new_id
from contracts.auth.accounts import ListUsers, Role
from contracts.auth.accounts import User as RegisteredUser
from contracts.auth.tiers import Limits, Tier

USER_COLUMNS = f"""
u.id AS user_id, u.username, u.email, u.tier, u.role, u.is_active, u.created_at AS user_created_at, u.version,
u.tokens_from, u.limits AS own, u.quota_group, {", ".join(f"t.{name}" for name in Limits.model_fields)}
"""
"""Columns of ``users u JOIN tiers t ON t.name = u.tier`` for ``build_user``."""

_FIND = Statement(f"""
SELECT {USER_COLUMNS} FROM users u JOIN tiers t ON t.name = u.tier WHERE u.id = :id AND u.erased_at IS NULL
""")  # noqa: S608 - constants only
_LOCK = Statement("SELECT FROM users WHERE id = :id FOR UPDATE")
_LIST = Statement(f"""
SELECT {USER_COLUMNS} FROM users u JOIN tiers t ON t.name = u.tier
WHERE u.erased_at IS NULL AND (:user_id::uuid IS NULL OR u.id = :user_id)
    AND (:before::uuid IS NULL OR u.id < :before)
    AND (:tier::text IS NULL OR u.tier = :tier)
    AND (:role::text IS NULL OR u.role = :role)
    AND (:is_active::boolean IS NULL OR u.is_active = :is_active)
    AND (:search::text IS NULL OR strpos(lower(u.username), lower(:search)) > 0
         OR strpos(lower(u.email), lower(:search)) > 0)
ORDER BY u.id DESC LIMIT :limit
""")  # noqa: S608 - constants only
_LIST_USERNAMES = Statement("SELECT id, username FROM users WHERE id = ANY(CAST(:ids AS uuid[])) AND erased_at IS NULL")
_COUNT_USERS_OF_TIER = Statement("""
SELECT count(*) AS users, count(*) FILTER (WHERE coalesce(limits, '{}') ?& CAST(:changed AS text[])) AS own
FROM users WHERE tier = :tier AND erased_at IS NULL
""")
_COUNT_SESSIONS = Statement("SELECT count(*) FROM sessions WHERE user_id = :id AND ended_at IS NULL")
_LOCK_ADMINS = Statement("SELECT pg_advisory_xact_lock(hashtext('auth.admins'))")
_FIND_OTHER_ADMIN = Statement("SELECT 1 FROM users WHERE role = 'admin' AND is_active AND id <> :id LIMIT 1")
_SAVE = Statement("""
UPDATE users SET tier = :tier, role = :role, is_active = :is_active, limits = :own WHERE id = :id
""")
_END_SESSIONS = Statement("UPDATE sessions SET ended_at = now() WHERE user_id = :id AND ended_at IS NULL")
_CREATE = Statement("""
INSERT INTO users (id, username, email, password_hash, role, tier)
VALUES (:id, :username, :email, :password_hash, 'user', :tier) ON CONFLICT DO NOTHING
RETURNING id, username, email, tier, role, is_active, created_at
""")
_CREATE_WITHOUT_PASSWORD = Statement("""
INSERT INTO users (id, username, email, role, tier, limits) VALUES (:id, :username, :email, :role, :tier, :own)
ON CONFLICT DO NOTHING
""")
_FIND_BY_NAME = Statement(
    f"SELECT {USER_COLUMNS} FROM users u JOIN tiers t ON t.name = u.tier WHERE lower(u.username) = lower(:username)"  # noqa: S608 - constants only
)


async def find_user_id(connection: Connection, username: str) -> UUID | None:
    """Return the id of the user of that name, ignoring case."""
    row = await _FIND_BY_NAME.fetch_first(connection, username=username)
    return row["user_id"] if row else None


async def find_user(connection: Connection, user_id: UUID) -> User | None:
    """Return the user; None when there is none or it was erased."""
    row = await _FIND.fetch_first(connection, id=user_id)
    return build_user(row) if row else None


async def lock_user(connection: Connection, user_id: UUID) -> User | None:
    """Return the user and lock it until the transaction ends."""
    # Lock first, then read: a locking join returns no row when a joined column changed while it waited.
    await _LOCK.execute(connection, id=user_id)
    return await find_user(connection, user_id)


async def list_users(connection: Connection, query: ListUsers) -> tuple[list[User], bool]:
    """Return matching users, newest first, and whether there are more. Search text is matched literally."""
    values = query.model_dump(mode="python") | {"limit": query.limit + 1}
    rows = await _LIST.fetch_all(connection, **values)
    return [build_user(row) for row in rows[: query.limit]], len(rows) > query.limit


async def read_usernames(connection: Connection, user_ids: Sequence[UUID]) -> dict[UUID, str]:
    """Return the names of users by id, without those that do not exist or were erased."""
    return {row["id"]: row["username"] for row in await _LIST_USERNAMES.fetch_all(connection, ids=list(user_ids))}


async def count_users_of_tier(connection: Connection, tier: Tier, changed: Sequence[str]) -> tuple[int, int]:
    """Count the users of a tier whom a change of these limits affects, and those who override all of them."""
    row = await _COUNT_USERS_OF_TIER.fetch_first(connection, tier=tier, changed=list(changed))
    assert row is not None  # noqa: S101 - an aggregate is always one row
    return row["users"] - row["own"], row["own"]


async def count_sessions(connection: Connection, user_id: UUID) -> int:
    """Count the sessions of a user that have not ended."""
    number: int = await _COUNT_SESSIONS.fetch_value(connection, id=user_id)
    return number


async def lock_admins(connection: Connection) -> None:
    """Prevent changes to who is an admin until the transaction ends. Call it before locking any user."""
    await _LOCK_ADMINS.execute(connection)


async def is_last_admin(connection: Connection, user_id: UUID) -> bool:
    """Whether no other active admin exists. Exact only after ``lock_admins``."""
    return await _FIND_OTHER_ADMIN.fetch_value(connection, id=user_id) is None


async def save_user(
    connection: Connection, user_id: UUID, *, tier: Tier, role: Role, is_active: bool, own_limits: Mapping[str, Any]
) -> None:
    """Store the properties of a locked user; ``own_limits`` are all limits that override the tier."""
    await _SAVE.execute(
        connection, id=user_id, tier=tier, role=role, is_active=is_active, own=_serialize_limits(own_limits)
    )


def _serialize_limits(own_limits: Mapping[str, Any]) -> str | None:
    return json.dumps(dict(own_limits)) if own_limits else None


async def end_sessions(connection: Connection, user_id: UUID) -> None:
    await _END_SESSIONS.execute(connection, id=user_id)


async def create_user(
    connection: Connection, user_id: UUID, *, username: str, email: str, password_hash: str, tier: Tier
) -> RegisteredUser | None:
    """Create a user; None when the name or address is taken, ignoring case."""
    row = await _CREATE.fetch_first(
        connection, id=user_id, username=username, email=email, password_hash=password_hash, tier=tier
    )
    if row is None:
        return None
    return RegisteredUser(**{**row, "tier": Tier(row["tier"]), "role": Role(row["role"])})


async def find_or_create_user(
    connection: Connection, *, username: str, email: str, role: Role, tier: Tier, own_limits: Mapping[str, Any]
) -> User | None:
    """Return the user of that name (ignoring case), created if missing; None when the email address is taken.

    Args:
        own_limits: limits that override the tier, if the user is created.
    """
    values = {"username": username, "email": email, "role": role, "tier": tier, "own": _serialize_limits(own_limits)}
    await _CREATE_WITHOUT_PASSWORD.execute(connection, id=new_id(), **values)
    row = await _FIND_BY_NAME.fetch_first(connection, username=username)
    return build_user(row) if row else None


def build_user(row: Row) -> User:
    """Build the user from a row with ``USER_COLUMNS``."""
    own = row["own"] or {}
    return User(
        id=row["user_id"],
        username=row["username"],
        email=row["email"],
        tier=Tier(row["tier"]),
        role=Role(row["role"]),
        is_active=row["is_active"],
        created_at=row["user_created_at"],
        version=row["version"],
        tokens_from=row["tokens_from"],
        limits=Limits.model_validate({name: row[name] for name in Limits.model_fields} | own),
        own_limits=tuple(name for name in Limits.model_fields if name in own),
        address_group=row["quota_group"],
    )
