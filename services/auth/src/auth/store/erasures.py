"""Erased accounts: only the id remains, so that every service can delete its data."""

from uuid import UUID

from chassis.database.statement import Connection, Statement
from contracts.auth.erasure import Erasure, Erasures

BATCH = 1000

# Registered names are shorter than these 43 characters, so none can collide.
_SCRUB = Statement("""
UPDATE users SET username = 'erased-' || id, email = 'erased-' || id || '@invalid', password_hash = NULL,
    limits = NULL, role = 'user', tier = 'free', is_active = false, failed_logins = 0, failed_login_at = NULL,
    quota_group = NULL, erased_at = now()
WHERE id = :id
""")
_DROP = tuple(
    Statement(f"DELETE FROM {table} WHERE user_id = :id")  # noqa: S608 - constants only
    for table in ("key_requests", "api_keys", "sessions", "ws_tickets", "login_links")
)
_NOTE = Statement("INSERT INTO erasures (tenant_id) VALUES (:id)")
_READ = Statement("""
SELECT number, tenant_id, at, now() AS now FROM erasures WHERE number > :after ORDER BY number LIMIT :limit
""")
_NOW = Statement("SELECT now()")


async def erase_user(connection: Connection, user_id: UUID) -> None:
    """Delete everything about a user but its id.

    Requires the user's lock and ``hold_admins``, which orders erasures.
    """
    for drop in _DROP:
        await drop.execute(connection, id=user_id)
    await _SCRUB.execute(connection, id=user_id)
    await _NOTE.execute(connection, id=user_id)


async def list_erasures(connection: Connection, after: int) -> Erasures:
    """Return erasures with a greater number, in order, at most ``BATCH``."""
    now = await _NOW.fetch_value(connection)
    rows = await _READ.fetch_all(connection, after=after, limit=BATCH + 1)
    found = tuple(Erasure(number=row["number"], tenant_id=row["tenant_id"], at=row["at"]) for row in rows[:BATCH])
    return Erasures(erasures=found, more=len(rows) > BATCH, now=now)
