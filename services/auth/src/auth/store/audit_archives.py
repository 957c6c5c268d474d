"""Which entries of the audit log were moved to files."""

from dataclasses import dataclass
from datetime import timedelta
from itertools import takewhile

from auth.domain.audit_chain import ChainEntry
from auth.store.audit import build_entry
from chassis.database.expired_rows import ExpiredRows
from chassis.database.statement import Connection, Statement

_LOCK_KEY = 0x61726368  # "arch"


@dataclass(frozen=True, slots=True)
class AuditArchive:
    """A file with the entries ``first_id`` to ``last_id``.

    Attributes:
        last_hash: hash of the last entry.
        file: name of the file in the archive folder.
        sha256: SHA-256 of the file.
    """

    first_id: int
    last_id: int
    last_hash: bytes
    file: str
    sha256: bytes


_TRY_LOCK = Statement("SELECT pg_try_advisory_xact_lock(:key)")
_FIELDS = "first_id, last_id, last_hash, file, sha256"
_LIST = Statement(f"SELECT {_FIELDS} FROM audit_archives ORDER BY last_id")  # noqa: S608 - constants only
_ADD = Statement(f"""
INSERT INTO audit_archives ({_FIELDS}) VALUES (:first_id, :last_id, :last_hash, :file, :sha256)
""")  # noqa: S608 - constants only
_LIST_OLD = Statement("""
SELECT id, at, action, actor_id, subject_id, ip, request_id, detail, hash,
    at < now() - CAST(:age AS interval) AS is_old
FROM audit_log WHERE id > :after ORDER BY id LIMIT :limit
""")
# By id, which the primary key finds: they are the first entries of the table.
ARCHIVED_ENTRIES = ExpiredRows("audit_log", "id <= (SELECT max(last_id) FROM audit_archives)")


async def try_lock_archives(connection: Connection) -> bool:
    """Try to become the only archiver until the transaction ends."""
    locked: bool = await _TRY_LOCK.fetch_value(connection, key=_LOCK_KEY)
    return locked


async def list_archives(connection: Connection) -> list[AuditArchive]:
    """Return all archives, oldest first."""
    return [AuditArchive(**row) for row in await _LIST.fetch_all(connection)]


async def add_archive(connection: Connection, archive: AuditArchive) -> None:
    """Record an archive; from now on the database allows its entries to be deleted."""
    await _ADD.execute(connection, **{name: getattr(archive, name) for name in AuditArchive.__slots__})


async def list_old_entries(
    connection: Connection, *, after: int, age: timedelta, limit: int
) -> list[tuple[ChainEntry, bytes]]:
    """Return the entries after the id ``after`` with their hashes, up to the first that is younger than ``age``."""
    rows = await _LIST_OLD.fetch_all(connection, after=after, age=age, limit=limit)
    return [(build_entry(row), row["hash"]) for row in takewhile(lambda row: row["is_old"], rows)]
