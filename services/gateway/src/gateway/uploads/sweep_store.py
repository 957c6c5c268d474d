"""Expired uploads of all tenants."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from chassis.database.postgres import Database
from chassis.database.statement import Statement
from gateway.uploads.store import UploadUse


@dataclass(frozen=True, slots=True)
class ExpiredUpload:
    """An expired upload, and the jobs that still use it."""

    id: UUID
    expires_at: datetime
    uses: tuple[UploadUse, ...]


_EXPIRED = Statement("""
SELECT u.id, u.expires_at, array_agg(x.job_id) FILTER (WHERE x.job_id IS NOT NULL) AS job_ids,
    array_agg(now() - x.pinned_at) FILTER (WHERE x.job_id IS NOT NULL) AS since
FROM (
    SELECT id, expires_at FROM uploads
    WHERE expires_at <= now() AND (CAST(:after_id AS uuid) IS NULL OR (expires_at, id) > (:after, :after_id))
    ORDER BY expires_at, id LIMIT :limit
) u LEFT JOIN upload_uses x ON x.upload_id = u.id AND x.ended_at IS NULL
GROUP BY u.id, u.expires_at ORDER BY u.expires_at, u.id
""")
# The lock prevents that a job pins them, or that they are extended, before they are deleted.
_LOCK = Statement("""
SELECT id FROM uploads WHERE id = ANY(:ids::uuid[]) AND expires_at <= now() ORDER BY id FOR UPDATE SKIP LOCKED
""")
_DELETE = Statement("""
DELETE FROM uploads u WHERE u.id = ANY(:ids::uuid[])
    AND NOT EXISTS (SELECT 1 FROM upload_uses x WHERE x.upload_id = u.id AND x.ended_at IS NULL)
RETURNING key
""")


class UploadSweepStore:
    """Queries over all tenants, for the sweep only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_expired(self, *, after: ExpiredUpload | None, limit: int) -> list[ExpiredUpload]:
        """Return expired uploads, oldest expiry first, after ``after``."""
        async with self._database.single() as connection:
            rows = await _EXPIRED.all(
                connection,
                after=after.expires_at if after else None,
                after_id=after.id if after else None,
                limit=limit,
            )
        return [
            ExpiredUpload(row["id"], row["expires_at"], tuple(map(UploadUse, row["job_ids"] or (), row["since"] or ())))
            for row in rows
        ]

    async def delete_unused(self, ids: Collection[UUID]) -> list[str]:
        """Delete the uploads that are still expired and that no job uses. Return the keys of their files."""
        async with self._database.direct() as connection:
            locked = await _LOCK.all(connection, ids=[*ids])
            rows = await _DELETE.all(connection, ids=[row["id"] for row in locked])
        return [row["key"] for row in rows]
