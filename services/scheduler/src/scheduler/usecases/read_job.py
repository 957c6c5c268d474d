"""How do jobs stand?"""

from time import monotonic
from uuid import UUID

from chassis.postgres import Database
from chassis.statement import Connection
from contracts.scheduler import JobPage, JobRead, ListJobs, ReadJob, UnknownJob
from scheduler.domain.job import view
from scheduler.store import attempts, jobs

USUAL_FRESH_S = 10.0


class JobReader:
    """Shows jobs to their owner."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._usual_s: float | None = None
        self._usual_until = 0.0

    async def read(self, tenant_id: UUID, query: ReadJob) -> JobRead:
        """The job, and its log where asked for.

        Raises:
            UnknownJob: the tenant has none of that id.
        """
        async with self._database.single() as connection:
            # The log first: it is never ahead of the job that is shown with it.
            wanted = query.after is not None
            events = await jobs.events(connection, query.job_id, query.after or 0) if wanted else ()
            standing = await jobs.find(connection, tenant_id, query.job_id)
            if standing is None:
                raise UnknownJob
            eta = await self.eta(connection, standing.queue_position)
        return JobRead(job=view(standing, eta), events=events)

    async def page(self, tenant_id: UUID, query: ListJobs) -> JobPage:
        """A page of the tenant's jobs, newest first."""
        async with self._database.single() as connection:
            found = await jobs.page(connection, tenant_id, query)
        return JobPage(jobs=tuple(view(job) for job in found[: query.limit]), more=len(found) > query.limit)

    async def eta(self, connection: Connection, queue_position: int | None) -> float | None:
        """Seconds until a waiting job will have ended, guessed from the newest attempts; None without any."""
        if queue_position is None:
            return None
        if monotonic() >= self._usual_until:
            self._usual_s = await attempts.usual_seconds(connection)
            self._usual_until = monotonic() + USUAL_FRESH_S
        return round(self._usual_s * queue_position, 1) if self._usual_s is not None else None
