"""The identity of the artifact store, and the report of the last sweep."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from chassis.database.postgres import Database
from chassis.database.statement import Connection, Statement
from gateway.artifact_store.domain import CONFIRM_INTERVAL, StoreIdentity

MAX_NEWEST_RECORDS = 20  # newest records that are looked up in the store
APPROVED_FOR = timedelta(days=1)

_LOCK = Statement("SELECT pg_advisory_xact_lock(hashtextextended('artifact_store', 0))")
_READ_IDENTITY = Statement("SELECT store_id, confirmed_at FROM artifact_store")
_PAIR = Statement("""
INSERT INTO artifact_store (store_id) VALUES (:store_id) ON CONFLICT DO NOTHING RETURNING store_id, confirmed_at
""")
_REPLACE = Statement("""
INSERT INTO artifact_store (store_id) VALUES (:store_id) ON CONFLICT (single) DO UPDATE SET
    store_id = excluded.store_id, confirmed_at = now(), swept_at = now(), reported_at = NULL, objects = NULL,
    orphans = NULL, orphan_bytes = NULL, sample = NULL, approved = NULL, approved_at = NULL
RETURNING store_id, confirmed_at
""")
_CONFIRM = Statement("""
UPDATE artifact_store SET confirmed_at = now() WHERE store_id = :store_id AND confirmed_at < now() - :every::interval
RETURNING store_id, confirmed_at
""")
_HAS_RECORDS = Statement("SELECT EXISTS (SELECT 1 FROM artifacts) OR EXISTS (SELECT 1 FROM uploads)")
_NEWEST = Statement("""
(SELECT key FROM artifacts ORDER BY created_at DESC LIMIT :limit)
UNION ALL (SELECT key FROM uploads ORDER BY created_at DESC LIMIT :limit)
""")
_CLAIM_SWEEP = Statement("""
UPDATE artifact_store SET swept_at = now() WHERE swept_at <= now() - :interval::interval RETURNING 1
""")
_CLAIM_APPROVED = Statement("""
UPDATE artifact_store s SET approved = NULL, approved_at = NULL, swept_at = now()
FROM (SELECT approved FROM artifact_store WHERE approved_at > now() - :valid_for::interval FOR UPDATE) before
WHERE before.approved IS NOT NULL RETURNING before.approved
""")
_REPORT = Statement("""
UPDATE artifact_store SET reported_at = now(), objects = :objects, orphans = :orphans, orphan_bytes = :orphan_bytes,
    sample = :sample::text[]
""")
_READ_REPORT = Statement("""
SELECT reported_at, objects, orphans, orphan_bytes, sample, CASE WHEN approved_at > now() - :valid_for::interval
    THEN approved END AS approved
FROM artifact_store WHERE reported_at IS NOT NULL
""")
_APPROVE = Statement("UPDATE artifact_store SET approved = :count, approved_at = now()")
_FIND_RECORDED_IDS = Statement("""
SELECT id FROM uploads WHERE id = ANY(:ids::uuid[]) UNION ALL SELECT id FROM artifacts WHERE id = ANY(:ids::uuid[])
""")


@dataclass(frozen=True, slots=True)
class OrphanReport:
    """What the last sweep found.

    Attributes:
        objects: uploads and outputs in the store, with or without a record.
        sample: keys of some orphans.
        approved: the number of orphans that an admin allowed the next sweep to delete; None if no admin did.
    """

    reported_at: datetime
    objects: int
    orphans: int
    orphan_bytes: int
    sample: tuple[str, ...]
    approved: int | None = None


class ArtifactStoreRecord:
    """The table artifact_store, which has at most one row, and the ids of all recorded files."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read_identity(self) -> StoreIdentity | None:
        """Return the identity of the store that this database belongs to."""
        async with self._database.connection() as connection:
            return await _read_identity(connection)

    async def record_pair(self, store_id: UUID, write_marker: Callable[[StoreIdentity], Awaitable[None]]) -> None:
        """Record the store's id and write its marker, unless another process has just done so."""
        async with self._database.transaction() as connection:
            await _LOCK.execute(connection)
            row = await _PAIR.fetch_first(connection, store_id=store_id)
            if row is not None:
                await write_marker(StoreIdentity(**row))

    async def replace_identity(self, store_id: UUID, write_marker: Callable[[StoreIdentity], Awaitable[None]]) -> None:
        """Record another id for the store and write its marker. Reports and approvals about orphans are dropped."""
        async with self._database.transaction() as connection:
            await _LOCK.execute(connection)
            row = await _REPLACE.fetch_first(connection, store_id=store_id)
            assert row is not None  # noqa: S101 - an upsert returns its row
            await write_marker(StoreIdentity(**row))

    async def confirm_identity(self, store_id: UUID) -> StoreIdentity | None:
        """Update the time of agreement if that is due. Returns the identity to write to the marker; None if not due."""
        async with self._database.connection() as connection:
            row = await _CONFIRM.fetch_first(connection, store_id=store_id, every=CONFIRM_INTERVAL)
        return StoreIdentity(**row) if row else None

    async def has_records(self) -> bool:
        """Whether the database has records of files."""
        async with self._database.connection() as connection:
            return bool(await _HAS_RECORDS.fetch_value(connection))

    async def list_newest_keys(self) -> list[str]:
        """Return the keys of the uploads and outputs that were recorded last."""
        async with self._database.connection() as connection:
            return [row["key"] for row in await _NEWEST.fetch_all(connection, limit=MAX_NEWEST_RECORDS)]

    async def find_recorded_ids(self, ids: Collection[UUID]) -> set[UUID]:
        """Return the ids that belong to an upload or an output."""
        async with self._database.connection() as connection:
            return {row["id"] for row in await _FIND_RECORDED_IDS.fetch_all(connection, ids=[*ids])}

    async def claim_sweep(self, interval: timedelta) -> bool:
        """Claim the next sweep for the caller, unless a process has begun one within ``interval``."""
        async with self._database.connection() as connection:
            return await _CLAIM_SWEEP.fetch_value(connection, interval=interval) is not None

    async def claim_approved_deletion(self) -> int | None:
        """Take the approval of an admin: return the number of orphans that may be deleted; None if there is none.

        Only one caller gets it.
        """
        async with self._database.connection() as connection:
            approved: int | None = await _CLAIM_APPROVED.fetch_value(connection, valid_for=APPROVED_FOR)
        return approved

    async def write_report(self, *, objects: int, orphans: int, orphan_bytes: int, sample: list[str]) -> None:
        """Replace the report of the last sweep."""
        async with self._database.connection() as connection:
            await _REPORT.execute(
                connection, objects=objects, orphans=orphans, orphan_bytes=orphan_bytes, sample=sample
            )

    async def read_report(self) -> OrphanReport | None:
        """Return the report of the last sweep; None before the first one."""
        async with self._database.connection() as connection:
            row = await _READ_REPORT.fetch_first(connection, valid_for=APPROVED_FOR)
        return OrphanReport(**{**row, "sample": tuple(row["sample"])}) if row else None

    async def approve_deletion(self, count: int) -> None:
        """Allow the next sweep to delete ``count`` orphans. The approval expires after ``APPROVED_FOR``."""
        async with self._database.connection() as connection:
            await _APPROVE.execute(connection, count=count)


async def _read_identity(connection: Connection) -> StoreIdentity | None:
    row = await _READ_IDENTITY.fetch_first(connection)
    return StoreIdentity(**row) if row else None
