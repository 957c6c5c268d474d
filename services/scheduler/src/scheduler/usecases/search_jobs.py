"""Operators look at everybody's jobs."""

from uuid import UUID

from chassis.database.postgres import Database
from contracts.scheduler.jobs import ReadJob, UnknownJob
from contracts.scheduler.search import AdminJob, AdminJobPage, AttemptSummary, JobWithAttempts, SearchJobs
from scheduler.store import search
from scheduler.usecases.read_job import JobReader


class JobSearcher:
    """Shows jobs to operators, whosever they are."""

    def __init__(self, database: Database, reader: JobReader) -> None:
        self._database, self._reader = database, reader

    async def page(self, query: SearchJobs) -> AdminJobPage:
        """A page, newest first."""
        async with self._database.single() as connection:
            found = await search.page(connection, query)
        page = found[: query.limit]
        jobs = await self._reader.show([standing for standing, _ in page])
        seen = tuple(AdminJob(job=job, node=node) for job, (_, node) in zip(jobs, page, strict=True))
        return AdminJobPage(jobs=seen, more=len(found) > query.limit)

    async def inspect(self, job_id: UUID) -> JobWithAttempts:
        """One job with every try at it.

        Raises:
            UnknownJob: there is none of that id.
        """
        async with self._database.single() as connection:
            tenant_id = await search.owner(connection, job_id)
            tries = await search.attempts_of(connection, job_id)
        if tenant_id is None:
            raise UnknownJob
        job = (await self._reader.read(tenant_id, ReadJob(job_id=job_id))).job
        return JobWithAttempts(job=job, attempts=tuple(AttemptSummary(**row) for row in tries))
