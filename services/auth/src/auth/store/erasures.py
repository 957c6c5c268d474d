"""Erased accounts: only the id remains, so that every service can delete its data."""

from uuid import UUID

from chassis.database.statement import Connection, Statement
from contracts.auth.erasure import Erasure, Erasures

MAX_PAGE = 1000

# Registered names are shorter than these 43 characters, so none can collide.
_ANONYMIZE = Statement("""
UPDATE users SET username = 'erased-' || id, email = 'erased-' || id || '@invalid', password_hash = NULL,
    limits = NULL, role = 'user', tier = 'free', is_active = false, failed_logins = 0, failed_login_at = NULL,
    quota_group = NULL, erased_at = now()
WHERE id = :id
""")
_DELETE_OWNED_ROWS = tuple(
    Statement(f"DELETE FROM {table} WHERE user_id = :id")  # noqa: S608 - constants only
    for table in ("key_requests", "api_keys", "sessions", "ws_tickets", "login_links")
)
_ADD = Statement("INSERT INTO erasures (tenant_id) VALUES (:id)")
_LIST = Statement("""
SELECT number, tenant_id, at, now() AS now FROM erasures WHERE number > :after ORDER BY number LIMIT :limit
""")
_NOW = Statement("SELECT now()")


async def erase_user(connection: Connection, user_id: UUID) -> None:
    """Delete everything about a user but its id.

    Lock the user first, and call ``lock_admins`` so that erasures are numbered in commit order.
    """
    for statement in _DELETE_OWNED_ROWS:
        await statement.run(connection, id=user_id)
    await _ANONYMIZE.run(connection, id=user_id)
    await _ADD.run(connection, id=user_id)


async def list_erasures(connection: Connection, after: int) -> Erasures:
    """Return up to ``MAX_PAGE`` erasures with a number greater than ``after``, in order."""
    now = await _NOW.value(connection)
    rows = await _LIST.all(connection, after=after, limit=MAX_PAGE + 1)
    found = tuple(Erasure(number=row["number"], tenant_id=row["tenant_id"], at=row["at"]) for row in rows[:MAX_PAGE])
    return Erasures(erasures=found, more=len(rows) > MAX_PAGE, now=now)
