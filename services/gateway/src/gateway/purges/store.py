"""Purged jobs, and their remaining data."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from uuid import UUID

from chassis.database.expired_rows import ExpiredRows
from chassis.database.postgres import Database
from chassis.database.statement import Row, Statement
from contracts.scheduler.purges import JobPurged

_RECORD = Statement("""
INSERT INTO purged_jobs AS known (job_id, tenant_id, with_inputs, is_pending)
SELECT *, true FROM unnest(CAST(:jobs AS uuid[]), CAST(:tenants AS uuid[]), CAST(:with_inputs AS boolean[]))
ON CONFLICT (job_id) DO UPDATE SET with_inputs = known.with_inputs OR excluded.with_inputs, is_pending = true
""")
_PENDING = Statement("""
SELECT job_id, tenant_id, with_inputs FROM purged_jobs
WHERE is_pending AND job_id > :after ORDER BY job_id LIMIT :limit
""")
# Not of a job whose purge has been recorded with its inputs meanwhile: those are not deleted yet.
_END_PENDING = Statement("""
UPDATE purged_jobs p SET is_pending = false
FROM unnest(CAST(:jobs AS uuid[]), CAST(:with_inputs AS boolean[])) AS listed (job_id, with_inputs)
WHERE p.job_id = listed.job_id AND p.with_inputs = listed.with_inputs
""")
# Only of recent purges: links to upload outputs expire after minutes, so nothing of an older purge can arrive.
_LEFTOVERS = Statement("""
SELECT a.id, a.key FROM purged_jobs p JOIN artifacts a ON a.job_id = p.job_id
WHERE p.at > now() - interval '2 hours' AND NOT p.is_pending LIMIT :limit
""")
_DELETE_ARTIFACTS = Statement("DELETE FROM artifacts WHERE id = ANY(CAST(:ids AS uuid[]))")
_DELETE_ARTIFACTS_OF_JOBS = Statement("DELETE FROM artifacts WHERE job_id = ANY(CAST(:jobs AS uuid[]))")
# A link to upload an output expires after minutes; after a week nothing of the job can arrive.
_IS_OLD = "at < now() - interval '7 days' AND NOT is_pending"
_USES_OF_OLD_PURGES = ExpiredRows(
    "upload_uses",
    f"job_id IN (SELECT job_id FROM purged_jobs WHERE {_IS_OLD})",  # noqa: S608 - constants only
)
_OLD_PURGES = ExpiredRows(
    "purged_jobs",
    f"{_IS_OLD} AND NOT EXISTS (SELECT 1 FROM upload_uses u WHERE u.job_id = purged_jobs.job_id)",  # noqa: S608 - constants only
)
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
        AND NOT EXISTS (SELECT 1 FROM purged_jobs p WHERE p.job_id = o.job_id)
) RETURNING key
""")
# The next sweep deletes them, or the one after the last job that uses them has ended.
_EXPIRE_COPIES = Statement("""
UPDATE uploads SET expires_at = now() WHERE source_job_id = ANY(CAST(:jobs AS uuid[])) AND expires_at > now()
""")
_DELETE_SHARES = Statement("DELETE FROM job_shares WHERE job_id = ANY(CAST(:jobs AS uuid[]))")
_DELETE_USES = Statement("DELETE FROM upload_uses WHERE job_id = ANY(CAST(:jobs AS uuid[]))")
_END_USES = Statement("""
UPDATE upload_uses SET ended_at = now() WHERE job_id = ANY(CAST(:jobs AS uuid[])) AND ended_at IS NULL
""")


class PurgeStore:
    """The purged_jobs table, and the artifacts and uploads of these jobs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record_purges(self, purges: Iterable[JobPurged]) -> None:
        """Record that all data of these jobs is to be deleted, and end their shares.

        From now on, no output of them is accepted or returned. Uploads that were copied from their outputs expire; each
        is deleted once no job uses it. Idempotent: a purge that is recorded again is pending again.
        """
        by_job: dict[UUID, JobPurged] = {}
        for purge in purges:
            if purge.job_id not in by_job or purge.with_inputs:
                by_job[purge.job_id] = purge
        jobs = sorted(by_job)  # in one order, so that concurrent statements cannot deadlock
        tenants, with_inputs = [by_job[job].tenant_id for job in jobs], [by_job[job].with_inputs for job in jobs]
        async with self._database.transaction() as connection:
            await _RECORD.execute(connection, jobs=jobs, tenants=tenants, with_inputs=with_inputs)
            await _DELETE_SHARES.execute(connection, jobs=jobs)
            await _EXPIRE_COPIES.execute(connection, jobs=jobs)

    async def list_pending(self, after: UUID, *, limit: int) -> Sequence[Row]:
        """Return purged jobs (job_id, tenant_id, with_inputs) with data to delete, ordered by id, after ``after``."""
        async with self._database.connection() as connection:
            return await _PENDING.fetch_all(connection, after=after, limit=limit)

    async def delete_inputs(self, job_id: UUID, delete: Callable[[str], Awaitable[None]]) -> None:
        """Delete uploads that no job uses but this one and purged ones. ``delete`` deletes the file of each by its key.

        The record of which uploads the job used is deleted in the same transaction.
        """
        jobs = [job_id]
        async with self._database.transaction() as connection:
            locked = await _LOCK_UPLOADS.fetch_all(connection, jobs=jobs)
            ids = [row["id"] for row in locked]
            for row in await _DELETE_EXCLUSIVE_UPLOADS.fetch_all(connection, ids=ids, jobs=jobs):
                await delete(row["key"])
            await _DELETE_USES.execute(connection, jobs=jobs)

    async def end_pending(self, jobs: Collection[Row]) -> None:
        """Delete the rows of purged jobs whose files are deleted: their data is not pending any more.

        A job whose purge is recorded with its inputs, but was listed without, remains pending. Which uploads a job used
        is kept until ``prune`` unless its inputs are deleted: the message with the inputs may arrive later.

        Args:
            jobs: rows of ``list_pending``.
        """
        ids, with_inputs = [job["job_id"] for job in jobs], [job["with_inputs"] for job in jobs]
        async with self._database.transaction() as connection:
            await _END_PENDING.execute(connection, jobs=ids, with_inputs=with_inputs)
            for statement in (_DELETE_ARTIFACTS_OF_JOBS, _END_USES):
                await statement.execute(connection, jobs=ids)

    async def list_leftovers(self, *, limit: int) -> Sequence[Row]:
        """Return artifacts (id, key) of jobs that were purged in the last two hours and are not pending."""
        async with self._database.connection() as connection:
            return await _LEFTOVERS.fetch_all(connection, limit=limit)

    async def delete_artifacts(self, artifact_ids: Iterable[UUID]) -> None:
        """Delete the rows of artifacts whose files are deleted."""
        async with self._database.connection() as connection:
            await _DELETE_ARTIFACTS.execute(connection, ids=[*artifact_ids])

    async def prune(self) -> None:
        """Delete records of purges so old that no output can arrive any more, unless their data is not deleted yet.

        Which uploads their jobs used is deleted first.
        """
        await _USES_OF_OLD_PURGES.delete(self._database)
        await _OLD_PURGES.delete(self._database)

    async def list_jobs_with_artifacts(self, after: UUID, *, limit: int) -> Sequence[Row]:
        """Return jobs (job_id, tenant_id) with artifacts older than an hour, ordered by id, after ``after``."""
        async with self._database.connection() as connection:
            return await _JOBS_WITH_ARTIFACTS.fetch_all(connection, after=after, limit=limit)
