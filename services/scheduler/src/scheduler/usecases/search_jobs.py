"""Searches and inspects the jobs of all tenants, for operators."""

from uuid import UUID

from chassis.database.postgres import Database
from contracts.scheduler.jobs import ReadJob, UnknownJob
from contracts.scheduler.search import AdminJob, AdminJobPage, AttemptSummary, JobWithAttempts, SearchJobs
from scheduler.store import search
from scheduler.usecases.read_job import JobReader


class JobSearcher:
    def __init__(self, database: Database, reader: JobReader) -> None:
        self._database, self._reader = database, reader

    async def search_jobs(self, query: SearchJobs) -> AdminJobPage:
        """Return a page of matching jobs, newest first."""
        async with self._database.single() as connection:
            found = await search.search_jobs(connection, query)
        page = found[: query.limit]
        jobs = await self._reader.describe_jobs([snapshot for snapshot, _ in page])
        admin_jobs = tuple(AdminJob(job=job, node=node) for job, (_, node) in zip(jobs, page, strict=True))
        return AdminJobPage(jobs=admin_jobs, more=len(found) > query.limit)

    async def inspect_job(self, job_id: UUID) -> JobWithAttempts:
        """Return one job with all its attempts.

        Raises:
            UnknownJob: there is no job with this id.
        """
        async with self._database.single() as connection:
            tenant_id = await search.find_owner(connection, job_id)
            attempts = await search.list_attempts(connection, job_id)
        if tenant_id is None:
            raise UnknownJob
        job = (await self._reader.read_job(tenant_id, ReadJob(job_id=job_id))).job
        return JobWithAttempts(job=job, attempts=tuple(AttemptSummary(**row) for row in attempts))
