"""How do jobs stand?"""

from collections.abc import Sequence
from time import monotonic
from uuid import UUID

from chassis.database.postgres import Database
from chassis.database.statement import Connection
from contracts.scheduler.jobs import Job, JobPage, JobWithEvents, ListJobs, ReadJob, UnknownJob
from scheduler.domain.job import JobSnapshot, view
from scheduler.domain.waiting import WITHOUT_END, QueuedFacts, TenantFacts, explain
from scheduler.store import attempts, jobs, tenants
from scheduler.usecases.fleet import FleetKnowledge

USUAL_FRESH_S = 10.0


class JobReader:
    """Shows jobs to their owner."""

    def __init__(self, database: Database, fleet: FleetKnowledge) -> None:
        self._database, self._fleet = database, fleet
        self._usual_s: float | None = None
        self._usual_until = 0.0

    async def read(self, tenant_id: UUID, query: ReadJob) -> JobWithEvents:
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
            facts = await self._tenants_of_queued(connection, [standing])
        (job,) = await self._shown([standing], facts)
        return JobWithEvents(job=job, events=events)

    async def page(self, tenant_id: UUID, query: ListJobs) -> JobPage:
        """A page of the tenant's jobs, newest first."""
        async with self._database.single() as connection:
            found = await jobs.page(connection, tenant_id, query)
            facts = await self._tenants_of_queued(connection, found)
        return JobPage(jobs=await self._shown(found[: query.limit], facts), more=len(found) > query.limit)

    async def show(self, standings: Sequence[JobSnapshot]) -> tuple[Job, ...]:
        """Jobs of whatever tenants, with why they wait: a query or two, however many there are."""
        facts: dict[UUID, TenantFacts] = {}
        if any(one.queued_at is not None for one in standings):
            async with self._database.single() as connection:
                facts = await self._tenants_of_queued(connection, standings)
        return await self._shown(standings, facts)

    async def _tenants_of_queued(
        self, connection: Connection, standings: Sequence[JobSnapshot]
    ) -> dict[UUID, TenantFacts]:
        """What the tenants of queued jobs may run and do run; nothing is asked where no job is queued."""
        whose = {one.tenant_id for one in standings if one.queued_at is not None}
        if not whose:
            return {}
        if monotonic() >= self._usual_until:
            self._usual_s = await attempts.usual_seconds(connection)
            self._usual_until = monotonic() + USUAL_FRESH_S
        return await tenants.running(connection, whose)

    async def _shown(self, standings: Sequence[JobSnapshot], facts: dict[UUID, TenantFacts]) -> tuple[Job, ...]:
        """Takes no database connection: a held one could starve the fleet when it needs another."""
        needs = {one.requirement_id for one in standings if one.queued_at is not None}
        surveys = await self._fleet.surveys(needs) if needs else {}
        shown = []
        for one in standings:
            tenant = facts.get(one.tenant_id)
            if one.queued_at is None or tenant is None:  # it does not wait, or its account was erased meanwhile
                shown.append(view(one))
                continue
            queued = QueuedFacts(
                since=one.queued_at,
                now=one.now,
                jobs_ahead=None if one.queue_position is None else one.queue_position - 1,
                on_hold=one.on_hold,
                avoid_node=one.avoid_node,
                avoid_until=one.avoid_until,
            )
            waiting = explain(queued, tenant, surveys[one.requirement_id])
            eta = None if waiting.reason in WITHOUT_END else self._eta(one.queue_position)
            shown.append(view(one, eta, waiting))
        return tuple(shown)

    def _eta(self, queue_position: int | None) -> float | None:
        """Seconds until a job will have ended, guessed from the newest attempts; None without any."""
        if queue_position is None or self._usual_s is None:
            return None
        return round(self._usual_s * queue_position, 1)
