"""Reads jobs for their owner, with the reason why a job waits."""

from collections.abc import Sequence
from time import monotonic
from uuid import UUID

from chassis.database.postgres import Database
from chassis.database.statement import Connection
from contracts.scheduler.jobs import Job, JobPage, JobWithEvents, ListJobs, ReadJob, UnknownJob
from scheduler.domain.job import JobSnapshot, build_public_job
from scheduler.domain.waiting import REASONS_WITHOUT_ETA, QueuedFacts, TenantFacts, explain_waiting
from scheduler.store import attempts, jobs, tenants
from scheduler.usecases.fleet_state import FleetState

MEAN_FRESH_S = 10.0  # how long the mean duration of an attempt is cached


class JobReader:
    def __init__(self, database: Database, fleet: FleetState) -> None:
        self._database, self._fleet = database, fleet
        self._mean_s: float | None = None
        self._mean_until = 0.0

    async def read_job(self, tenant_id: UUID, query: ReadJob) -> JobWithEvents:
        """Return the job, and its events after ``query.after`` if that is set.

        Raises:
            UnknownJob: the tenant has no job with this id.
        """
        async with self._database.single() as connection:
            # Events first, so that they are never newer than the job that is returned with them.
            wanted = query.after is not None
            events = await jobs.list_events(connection, query.job_id, query.after or 0) if wanted else ()
            snapshot = await jobs.find_job(connection, tenant_id, query.job_id)
            if snapshot is None:
                raise UnknownJob
            facts = await self._load_facts_of_queued(connection, [snapshot])
        (job,) = await self._describe_snapshots([snapshot], facts)
        return JobWithEvents(job=job, events=events)

    async def list_jobs(self, tenant_id: UUID, query: ListJobs) -> JobPage:
        """Return a page of the tenant's jobs, newest first."""
        async with self._database.single() as connection:
            found = await jobs.list_jobs(connection, tenant_id, query)
            facts = await self._load_facts_of_queued(connection, found)
        return JobPage(jobs=await self._describe_snapshots(found[: query.limit], facts), more=len(found) > query.limit)

    async def describe_jobs(self, snapshots: Sequence[JobSnapshot]) -> tuple[Job, ...]:
        """Convert snapshots, of any tenants, to public jobs. The number of queries does not grow with the jobs."""
        facts: dict[UUID, TenantFacts] = {}
        if any(one.queued_at is not None for one in snapshots):
            async with self._database.single() as connection:
                facts = await self._load_facts_of_queued(connection, snapshots)
        return await self._describe_snapshots(snapshots, facts)

    async def _load_facts_of_queued(
        self, connection: Connection, snapshots: Sequence[JobSnapshot]
    ) -> dict[UUID, TenantFacts]:
        """Load the facts about tenants that have queued jobs. Runs no query if no job is queued."""
        tenant_ids = {one.tenant_id for one in snapshots if one.queued_at is not None}
        if not tenant_ids:
            return {}
        if monotonic() >= self._mean_until:
            self._mean_s = await attempts.compute_mean_gpu_seconds(connection)
            self._mean_until = monotonic() + MEAN_FRESH_S
        return await tenants.load_tenant_facts(connection, tenant_ids)

    async def _describe_snapshots(
        self, snapshots: Sequence[JobSnapshot], facts: dict[UUID, TenantFacts]
    ) -> tuple[Job, ...]:
        """Must be called without an open database connection, since the fleet state may need one from the pool."""
        needs = {one.requirement_id for one in snapshots if one.queued_at is not None}
        surveys = await self._fleet.survey_nodes(needs) if needs else {}
        shown = []
        for one in snapshots:
            tenant = facts.get(one.tenant_id)
            if one.queued_at is None or tenant is None:  # not queued, or the account was erased in the meantime
                shown.append(build_public_job(one))
                continue
            queued = QueuedFacts(
                since=one.queued_at,
                now=one.now,
                jobs_ahead=None if one.queue_position is None else one.queue_position - 1,
                on_hold=one.on_hold,
                avoid_node=one.avoid_node,
                avoid_until=one.avoid_until,
            )
            waiting = explain_waiting(queued, tenant, surveys[one.requirement_id])
            eta = None if waiting.reason in REASONS_WITHOUT_ETA else self._estimate_eta(one.queue_position)
            shown.append(build_public_job(one, eta, waiting))
        return tuple(shown)

    def _estimate_eta(self, queue_position: int | None) -> float | None:
        """Estimate the seconds until a job ends from the newest attempts; None if there are none."""
        if queue_position is None or self._mean_s is None:
            return None
        return round(self._mean_s * queue_position, 1)
