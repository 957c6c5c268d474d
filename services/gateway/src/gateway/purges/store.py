"""Which jobs are gone, and what is left of them."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from uuid import UUID

from chassis.database.postgres import Database
from chassis.database.statement import Row, Statement
from contracts.scheduler.purges import JobPurged

_NOTE = Statement("""
INSERT INTO purged_jobs (job_id, tenant_id)
SELECT * FROM unnest(CAST(:jobs AS uuid[]), CAST(:tenants AS uuid[])) ON CONFLICT (job_id) DO NOTHING
""")
_LEFT = Statement("""
SELECT a.id, a.key FROM purged_jobs p JOIN artifacts a ON a.job_id = p.job_id LIMIT :batch
""")
_FORGET = Statement("DELETE FROM artifacts WHERE id = ANY(CAST(:ids AS uuid[]))")
# A link to upload an output lives for minutes; nothing of the job can come after a week.
_PRUNE = Statement("DELETE FROM purged_jobs WHERE at < now() - interval '7 days'")
_WALK = Statement("""
SELECT DISTINCT job_id, tenant_id FROM artifacts
WHERE job_id > :after AND created_at < now() - interval '1 hour' ORDER BY job_id LIMIT :batch
""")


# Locked first, judged then: a job that has just pinned one keeps it.
_HOLD_INPUTS = Statement("""
SELECT id FROM uploads WHERE id IN (SELECT upload_id FROM upload_uses WHERE job_id = ANY(CAST(:jobs AS uuid[])))
ORDER BY id FOR UPDATE
""")
_DROP_INPUTS = Statement("""
DELETE FROM uploads u WHERE id = ANY(CAST(:ids AS uuid[])) AND NOT EXISTS (
    SELECT 1 FROM upload_uses o WHERE o.upload_id = u.id AND o.job_id <> ALL(CAST(:jobs AS uuid[]))
) RETURNING key
""")
# Gone with the next sweep, or once the last job that uses them has ended.
_EXPIRE_COPIES = Statement("""
UPDATE uploads SET expires_at = now() WHERE source_job_id = ANY(CAST(:jobs AS uuid[])) AND expires_at > now()
""")
_DROP_USES = Statement("DELETE FROM upload_uses WHERE job_id = ANY(CAST(:jobs AS uuid[]))")


class Purges:
    """The purged_jobs table, and the artifacts of jobs that are in it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def note(self, gone: Iterable[JobPurged]) -> None:
        """Take no output of these jobs any more."""
        said = list(gone)
        async with self._database.single() as connection:
            jobs, tenants = [one.job_id for one in said], [one.tenant_id for one in said]
            await _NOTE.run(connection, jobs=jobs, tenants=tenants)

    async def drop_inputs(self, job_ids: Collection[UUID], delete: Callable[[str], Awaitable[None]]) -> None:
        """Forget uploads that nobody but these jobs used, once ``delete`` has ended the bytes of each by its key."""
        async with self._database.direct() as connection:
            held = await _HOLD_INPUTS.all(connection, jobs=list(job_ids))
            for row in await _DROP_INPUTS.all(connection, ids=[row["id"] for row in held], jobs=list(job_ids)):
                await delete(row["key"])

    async def expire_copies(self, job_ids: Collection[UUID]) -> None:
        """Keep copies of these jobs' outputs no longer than the jobs that use them take."""
        async with self._database.single() as connection:
            await _EXPIRE_COPIES.run(connection, jobs=list(job_ids))

    async def drop_uses(self, job_ids: Collection[UUID]) -> None:
        """Forget which uploads these jobs used."""
        async with self._database.single() as connection:
            await _DROP_USES.run(connection, jobs=list(job_ids))

    async def left(self, *, batch: int) -> Sequence[Row]:
        """Artifacts (id, key) of jobs that are gone."""
        async with self._database.single() as connection:
            return await _LEFT.all(connection, batch=batch)

    async def forget(self, artifact_ids: Iterable[UUID]) -> None:
        """Forget artifacts whose bytes are gone."""
        async with self._database.single() as connection:
            await _FORGET.run(connection, ids=[*artifact_ids])

    async def prune(self) -> None:
        """Forget jobs of which nothing can come any more."""
        async with self._database.single() as connection:
            await _PRUNE.run(connection)

    async def walk(self, after: UUID, *, batch: int) -> Sequence[Row]:
        """Jobs (job_id, tenant_id) that have had artifacts for an hour, by id."""
        async with self._database.single() as connection:
            return await _WALK.all(connection, after=after, batch=batch)
