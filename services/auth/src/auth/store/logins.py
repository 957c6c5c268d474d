"""Accounts as logins need them: password hashes and counters of failed logins."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from chassis.database.statement import Connection, Statement

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


async def find_login(connection: Connection, name: str) -> Login | None:
    """Find the account by username or email address, given in lower case."""
    row = await (_FIND_BY_EMAIL if "@" in name else _FIND_BY_USERNAME).fetch_first(connection, name=name)
    return Login(**row) if row else None


async def find_login_by_id(connection: Connection, user_id: UUID) -> Login | None:
    row = await _FIND_BY_ID.fetch_first(connection, user_id=user_id)
    return Login(**row) if row else None


async def lock_login(connection: Connection, user_id: UUID) -> Login | None:
    """Return the account and lock it until the transaction ends."""
    row = await _LOCK.fetch_first(connection, user_id=user_id)
    return Login(**row) if row else None


async def record_login_failure(connection: Connection, user_id: UUID, *, is_counted: bool) -> None:
    """Count a failure under the account's lock.

    An uncounted failure does the same work, so that timing reveals nothing.
    """
    await _RECORD_FAILURE.execute(connection, user_id=user_id, is_counted=is_counted)


async def record_login_success(connection: Connection, user_id: UUID, *, upgraded: str | None) -> None:
    """Reset the failure counter, and store a stronger hash of the same password if given."""
    await _RECORD_SUCCESS.execute(connection, user_id=user_id, upgraded=upgraded)


async def set_password_hash(connection: Connection, user_id: UUID, password_hash: str) -> None:
    await _SET_HASH.execute(connection, user_id=user_id, password_hash=password_hash)
