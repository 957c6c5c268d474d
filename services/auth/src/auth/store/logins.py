"""Accounts as logins need them: password hashes and counters of failed logins."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from chassis.database.statement import Connection, Statement
from contracts.auth.accounts import Role, User
from contracts.auth.tiers import Tier

UNKNOWN_USER_ID = UUID(int=0)  # no account has this id: unknown accounts cause the same work as known ones


@dataclass(frozen=True, slots=True)
class Login:
    """The data a login is checked against. ``now`` is the transaction's time by the database clock."""

    user_id: UUID
    password_hash: str | None
    is_active: bool
    failed_logins: int
    failed_login_at: datetime | None
    now: datetime


_COLUMNS = "id AS user_id, password_hash, is_active, failed_logins, failed_login_at, now() AS now"
_FIND_BY_USERNAME = Statement(f"SELECT {_COLUMNS} FROM users WHERE lower(username) = :name")  # noqa: S608 - constants only
_FIND_BY_EMAIL = Statement(f"SELECT {_COLUMNS} FROM users WHERE lower(email) = :name")  # noqa: S608 - constants only
_FIND_BY_ID = Statement(f"SELECT {_COLUMNS} FROM users WHERE id = :user_id")  # noqa: S608 - constants only
_LOCK = Statement(f"SELECT {_COLUMNS} FROM users WHERE id = :user_id FOR UPDATE")  # noqa: S608 - constants only
_RECORD_FAILURE = Statement("""
UPDATE users SET failed_logins = failed_logins + 1, failed_login_at = now() WHERE id = :user_id AND :is_counted
""")
_RECORD_SUCCESS = Statement("""
UPDATE users SET failed_logins = 0, failed_login_at = NULL, password_hash = coalesce(:upgraded, password_hash)
WHERE id = :user_id
""")
_SET_HASH = Statement("""
UPDATE users SET password_hash = :password_hash, failed_logins = 0, failed_login_at = NULL WHERE id = :user_id
""")
_CREATE = Statement("""
INSERT INTO users (id, username, email, password_hash, role, tier)
VALUES (:id, :username, :email, :password_hash, 'user', :tier) ON CONFLICT DO NOTHING
RETURNING id, username, email, tier, role, is_active, created_at
""")


async def find_login(connection: Connection, name: str) -> Login | None:
    """Find the account by username or email address, given in lower case."""
    row = await (_FIND_BY_EMAIL if "@" in name else _FIND_BY_USERNAME).first(connection, name=name)
    return Login(**row) if row else None


async def find_login_by_id(connection: Connection, user_id: UUID) -> Login | None:
    row = await _FIND_BY_ID.first(connection, user_id=user_id)
    return Login(**row) if row else None


async def lock_login(connection: Connection, user_id: UUID) -> Login | None:
    """Return the account and lock it until the transaction ends."""
    row = await _LOCK.first(connection, user_id=user_id)
    return Login(**row) if row else None


async def record_login_failure(connection: Connection, user_id: UUID, *, is_counted: bool) -> None:
    """Count a failure under the account's lock.

    An uncounted failure does the same work, so that timing reveals nothing.
    """
    await _RECORD_FAILURE.run(connection, user_id=user_id, is_counted=is_counted)


async def record_login_success(connection: Connection, user_id: UUID, *, upgraded: str | None) -> None:
    """Reset the failure counter, and store a stronger hash of the same password if given."""
    await _RECORD_SUCCESS.run(connection, user_id=user_id, upgraded=upgraded)


async def set_password_hash(connection: Connection, user_id: UUID, password_hash: str) -> None:
    await _SET_HASH.run(connection, user_id=user_id, password_hash=password_hash)


async def create_user(
    connection: Connection, user_id: UUID, *, username: str, email: str, password_hash: str, tier: Tier
) -> User | None:
    """Create an account; None when the name or address is taken, ignoring case."""
    row = await _CREATE.first(
        connection, id=user_id, username=username, email=email, password_hash=password_hash, tier=tier
    )
    if row is None:
        return None
    return User(**{**row, "tier": Tier(row["tier"]), "role": Role(row["role"])})
