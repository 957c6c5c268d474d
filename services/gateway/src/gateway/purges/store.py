"""Purged jobs, and their remaining data."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from uuid import UUID

from chassis.database.expired_rows import ExpiredRows
from chassis.database.postgres import Database
from chassis.database.statement import Row, Statement
from contracts.scheduler.purges import JobPurged

_RECORD = Statement("""
INSERT INTO purged_jobs (job_id, tenant_id)
SELECT * FROM unnest(CAST(:jobs AS uuid[]), CAST(:tenants AS uuid[])) ON CONFLICT (job_id) DO NOTHING
""")
# Only of recent purges: there are millions of older ones, and what they left is found by comparison with the scheduler.
_LEFTOVERS = Statement("""
SELECT a.id, a.key FROM purged_jobs p JOIN artifacts a ON a.job_id = p.job_id
WHERE p.at > now() - interval '2 hours' LIMIT :limit
""")
_DELETE_ARTIFACTS = Statement("DELETE FROM artifacts WHERE id = ANY(CAST(:ids AS uuid[]))")
# A link to upload an output expires after minutes; after a week nothing of the job can arrive.
_OLD_PURGES = ExpiredRows("purged_jobs", "at < now() - interval '7 days'")
_JOBS_WITH_ARTIFACTS = Statement("""
SELECT DISTINCT job_id, tenant_id FROM artifacts
WHERE job_id > :after AND created_at < now() - interval '1 hour' ORDER BY job_id LIMIT :limit
""")


# Lock first, then check: an upload that another job has just pinned is kept.
_LOCK_UPLOADS = Statement("""
SELECT id FROM uploads WHERE id IN (SELECT upload_id FROM upload_uses WHERE job_id = ANY(CAST(:jobs AS uuid[])))
ORDER BY id FOR UPDATE
""")
_DELETE_EXCLUSIVE_UPLOADS = Statement("""
DELETE FROM uploads u WHERE id = ANY(CAST(:ids AS uuid[])) AND NOT EXISTS (
    SELECT 1 FROM upload_uses o WHERE o.upload_id = u.id AND o.job_id <> ALL(CAST(:jobs AS uuid[]))
) RETURNING key
""")
# The next sweep deletes them, or the one after the last job that uses them has ended.
_EXPIRE_COPIES = Statement("""
UPDATE uploads SET expires_at = now() WHERE source_job_id = ANY(CAST(:jobs AS uuid[])) AND expires_at > now()
""")
_DELETE_SHARES = Statement("DELETE FROM job_shares WHERE job_id = ANY(CAST(:jobs AS uuid[]))")
_DELETE_USES = Statement("DELETE FROM upload_uses WHERE job_id = ANY(CAST(:jobs AS uuid[]))")


class PurgeStore:
    """The purged_jobs table, and the artifacts and uploads of these jobs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record_purges(self, purges: Iterable[JobPurged]) -> None:
        """Record these jobs as purged, so that no output of them is accepted any more."""
        purged = list(purges)
        async with self._database.connection() as connection:
            jobs, tenants = [job.job_id for job in purged], [job.tenant_id for job in purged]
            await _RECORD.execute(connection, jobs=jobs, tenants=tenants)

    async def delete_exclusive_uploads(
        self, job_ids: Collection[UUID], delete: Callable[[str], Awaitable[None]]
    ) -> None:
        """Delete uploads that only these jobs used. ``delete`` deletes the file of each by its key."""
        async with self._database.transaction() as connection:
            locked = await _LOCK_UPLOADS.fetch_all(connection, jobs=list(job_ids))
            for row in await _DELETE_EXCLUSIVE_UPLOADS.fetch_all(
                connection, ids=[row["id"] for row in locked], jobs=list(job_ids)
            ):
                await delete(row["key"])

    async def expire_uploads_from_outputs(self, job_ids: Collection[UUID]) -> None:
        """Expire the uploads that were copied from these jobs' outputs; each is deleted once no job uses it."""
        async with self._database.connection() as connection:
            await _EXPIRE_COPIES.execute(connection, jobs=list(job_ids))

    async def delete_upload_uses(self, job_ids: Collection[UUID]) -> None:
        """Delete the records of which uploads these jobs used."""
        async with self._database.connection() as connection:
            await _DELETE_USES.execute(connection, jobs=list(job_ids))

    async def delete_shares(self, job_ids: Collection[UUID]) -> None:
        """Delete the shares of these jobs."""
        async with self._database.connection() as connection:
            await _DELETE_SHARES.execute(connection, jobs=list(job_ids))

    async def list_leftovers(self, *, limit: int) -> Sequence[Row]:
        """Return artifacts (id, key) of jobs that were purged in the last two hours."""
        async with self._database.connection() as connection:
            return await _LEFTOVERS.fetch_all(connection, limit=limit)

    async def delete_artifacts(self, artifact_ids: Iterable[UUID]) -> None:
        """Delete the rows of artifacts whose files are deleted."""
        async with self._database.connection() as connection:
            await _DELETE_ARTIFACTS.execute(connection, ids=[*artifact_ids])

    async def prune(self) -> None:
        """Delete records of purges so old that no output can arrive any more."""
        await _OLD_PURGES.delete(self._database)

    async def list_jobs_with_artifacts(self, after: UUID, *, limit: int) -> Sequence[Row]:
        """Return jobs (job_id, tenant_id) with artifacts older than an hour, ordered by id, after ``after``."""
        async with self._database.connection() as connection:
            return await _JOBS_WITH_ARTIFACTS.fetch_all(connection, after=after, limit=limit)
