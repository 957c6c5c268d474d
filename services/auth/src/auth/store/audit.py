"""The audit log: who did what to whom, from where, and when. Append-only."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson

from auth.domain.audit_chain import GENESIS_HASH, ChainEntry, hash_entry
from chassis.database.statement import Connection, Row, Statement
from chassis.telemetry.logs import bound_here
from contracts.auth.audit import ReadAudit

BATCH_SIZE = 1000
_LOCK_KEY = 0x6175646974  # "audit"


@dataclass(frozen=True, slots=True)
class NewAuditEntry:
    """One recorded action.

    Attributes:
        action: noun.verb, as in ``session.opened``.
        actor_id: the acting user; None when unknown.
        subject_id: the user whose account it concerns.
        ip: client address.
        detail: further JSON data. Never a secret.
    """

    action: str
    actor_id: UUID | None = None
    subject_id: UUID | None = None
    ip: str | None = None
    detail: dict[str, Any] = field(default_factory=dict)


_LOCK = Statement("SELECT pg_advisory_xact_lock(:key)")
# Hash the detail as jsonb returns it: jsonb may format a number differently.
_FIND_LAST = Statement("""
SELECT clock_timestamp() AS at, CAST(:detail AS jsonb) AS detail, last.id, last.hash
FROM (VALUES (1)) AS one LEFT JOIN LATERAL (SELECT id, hash FROM audit_log ORDER BY id DESC LIMIT 1) last ON true
""")
_ADD = Statement("""
INSERT INTO audit_log (id, at, action, actor_id, subject_id, ip, request_id, detail, hash)
VALUES (:id, :at, :action, :actor_id, :subject_id, :ip, :request_id, CAST(:detail AS jsonb), :hash)
""")
_SELECT = "SELECT id, at, action, actor_id, subject_id, ip, request_id, detail, hash FROM audit_log "
_LIST_AFTER = Statement(_SELECT + "WHERE id > :after ORDER BY id LIMIT :limit")
_CONDITIONS = {
    "actor_id": "actor_id = :actor_id",
    "subject_id": "subject_id = :subject_id",
    "action": "action = :action",
    "after": "at >= :after",
    "before": "at < :before",
    "before_id": "id < :before_id",
}


async def append_entry(connection: Connection, entry: NewAuditEntry) -> None:
    """Append an entry with the current request id to the chain.

    Other appends wait until this transaction ends, so call it as late in the transaction as possible.
    """
    await _LOCK.run(connection, key=_LOCK_KEY)
    detail = orjson.dumps(entry.detail).decode()
    last = await _FIND_LAST.first(connection, detail=detail)
    assert last is not None  # noqa: S101 - one row of VALUES
    new = ChainEntry(
        id=(last["id"] or 0) + 1,
        at=last["at"],
        action=entry.action,
        actor_id=entry.actor_id,
        subject_id=entry.subject_id,
        ip=entry.ip,
        request_id=bound_here().get("request_id"),
        detail=last["detail"],
    )
    values = {name: getattr(new, name) for name in ChainEntry.__slots__} | {"detail": detail}
    await _ADD.run(connection, **values, hash=hash_entry(last["hash"] or GENESIS_HASH, new))


async def list_entries(connection: Connection, query: ReadAudit) -> list[tuple[ChainEntry, bytes]]:
    """Return up to ``limit + 1`` entries with their hashes, newest first."""
    given = query.model_dump(include=set(_CONDITIONS), exclude_none=True)
    where = " AND ".join(_CONDITIONS[name] for name in given) or "true"
    found = Statement(f"{_SELECT} WHERE {where} ORDER BY id DESC LIMIT :limit")
    return [(build_entry(row), row["hash"]) for row in await found.all(connection, **given, limit=query.limit + 1)]


async def iterate_entries(connection: Connection, *, after: int = 0) -> AsyncIterator[tuple[ChainEntry, bytes]]:
    """Yield every entry with a greater id than ``after`` with its hash, oldest first."""
    while rows := await _LIST_AFTER.all(connection, after=after, limit=BATCH_SIZE):
        for row in rows:
            yield build_entry(row), row["hash"]
        after = rows[-1]["id"]


def build_entry(row: Row) -> ChainEntry:
    """Return the entry in a row with all its columns."""
    return ChainEntry(**{name: row[name] for name in ChainEntry.__slots__})
