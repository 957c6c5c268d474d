"""Login links in PostgreSQL. The database clock decides whether one has expired."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from chassis.database.expired_rows import ExpiredRows
from chassis.database.statement import Connection, Statement
from contracts.auth.login_links import LOGIN_LINK_LIFETIME_S


@dataclass(frozen=True, slots=True)
class RedeemedLink:
    """A used link. ``is_valid``: it had not expired."""

    created_by: UUID | None
    is_valid: bool


_ADD = Statement("""
INSERT INTO login_links (digest, user_id, created_by, expires_at)
VALUES (:digest, :user_id, :created_by, now() + make_interval(secs => CAST(:life AS float8))) RETURNING expires_at
""")
_FIND_USER = Statement("SELECT user_id FROM login_links WHERE digest = :digest")
_REDEEM = Statement("""
DELETE FROM login_links WHERE digest = :digest RETURNING created_by, expires_at > now() AS is_valid
""")
EXPIRED_LOGIN_LINKS = ExpiredRows("login_links", "expires_at < now() - interval '1 day'")


async def add_login_link(connection: Connection, digest: bytes, user_id: UUID, *, created_by: UUID | None) -> datetime:
    """Store a link; returns when it expires."""
    expires_at: datetime = await _ADD.fetch_value(
        connection, digest=digest, user_id=user_id, created_by=created_by, life=float(LOGIN_LINK_LIFETIME_S)
    )
    return expires_at


async def find_user_id(connection: Connection, digest: bytes) -> UUID | None:
    """Return the user whom the link with that digest logs in."""
    user_id: UUID | None = await _FIND_USER.fetch_value(connection, digest=digest)
    return user_id


async def redeem_login_link(connection: Connection, digest: bytes) -> RedeemedLink | None:
    """Delete and return the link with that digest, so that it works once. Take the lock of its user first."""
    row = await _REDEEM.fetch_first(connection, digest=digest)
    return RedeemedLink(**row) if row else None
