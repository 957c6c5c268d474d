"""Dead letters: messages of executors that can never be handled."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from chassis.database.statement import Connection, Row, Statement

_INSERT = Statement("""
INSERT INTO dead_letters (id, subject, request_id, node, tenant_id, job_id, code, reason, excerpt, size_bytes)
VALUES (:id, :subject, :request_id, :node, :tenant_id, :job_id, :code, :reason, :excerpt, :size_bytes)
""")
_LIST = Statement("""
SELECT id, at, subject, request_id, node, tenant_id, job_id, code, reason, excerpt, size_bytes FROM dead_letters
WHERE (CAST(:before AS uuid) IS NULL OR id < :before) AND (CAST(:node AS text) IS NULL OR node = :node)
ORDER BY id DESC LIMIT :limit
""")
_EXISTS = Statement("SELECT EXISTS (SELECT FROM dead_letters WHERE id = :id)")
_PRUNE = Statement("""
DELETE FROM dead_letters WHERE at < now() - make_interval(secs => :age_s)
    OR id <= (SELECT id FROM dead_letters ORDER BY id DESC OFFSET :keep LIMIT 1)
""")


async def add_letter(connection: Connection, **letter: Any) -> None:
    """Insert a dead letter. ``letter`` has all columns but ``at``."""
    await _INSERT.execute(connection, **letter)


async def list_letters(connection: Connection, *, limit: int, before: UUID | None, node: str | None) -> Sequence[Row]:
    """List up to ``limit + 1`` dead letters, newest first (ids are ordered by time)."""
    return await _LIST.fetch_all(connection, limit=limit + 1, before=before, node=node)


async def has_letter(connection: Connection, letter_id: UUID) -> bool:
    return bool(await _EXISTS.fetch_value(connection, id=letter_id))


async def prune_letters(connection: Connection, *, age_s: float, keep: int) -> None:
    """Delete all that are older than ``age_s`` seconds, and all but the newest ``keep``."""
    await _PRUNE.execute(connection, age_s=age_s, keep=keep)
