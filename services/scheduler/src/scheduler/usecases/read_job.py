"""Reads jobs for their owners, with the reason why a job waits and an estimate of when it ends."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple
from uuid import UUID

from chassis.database.postgres import Database
from chassis.database.statement import Connection
from contracts.scheduler.jobs import Job, JobPage, JobState, JobWithEvents, ListJobs, ReadJob, UnknownJob
from scheduler.domain.eta import Eta
from scheduler.domain.job import JobForecast, JobSnapshot, build_public_job
from scheduler.domain.waiting import REASONS_WITHOUT_ETA, NodeSurvey, QueuedJobFacts, TenantFacts, explain_waiting
from scheduler.store import jobs, tenants
from scheduler.usecases.estimate_etas import EtaEstimator
from scheduler.usecases.fleet_state import FleetState


class DescribedJob(NamedTuple):
    """A job as its owner sees it.

    Attributes:
        estimate: when a queued job starts and ends; None if there is no estimate.
    """

    job: Job
    estimate: Eta | None = None


class JobReader:
    def __init__(self, database: Database, fleet: FleetState, estimator: EtaEstimator) -> None:
        self._database, self._fleet, self._estimator = database, fleet, estimator

    async def read_job(self, tenant_id: UUID, query: ReadJob) -> JobWithEvents:
        """Return the job, and its events after ``query.after`` if that is set.

        Raises:
            UnknownJob: the tenant has no job with this id.
        """
        async with self._database.connection() as connection:
            # Events first, so that they are never newer than the job that is returned with them.
            wants_events = query.after is not None
            events = await jobs.list_events(connection, query.job_id, query.after or 0) if wants_events else ()
            snapshot = await jobs.find_job(connection, tenant_id, query.job_id)
            if snapshot is None:
                raise UnknownJob
            facts = await self._load_facts(connection, [snapshot])
        (described,) = await self._describe_snapshots([snapshot], facts)
        return JobWithEvents(job=described.job, events=events)

    async def list_jobs(self, tenant_id: UUID, query: ListJobs) -> JobPage:
        """Return a page of the tenant's jobs, newest first."""
        async with self._database.connection() as connection:
            found = await jobs.list_jobs(connection, tenant_id, query)
            facts = await self._load_facts(connection, found)
        described = await self._describe_snapshots(found[: query.limit], facts)
        return JobPage(jobs=tuple(job.job for job in described), more=len(found) > query.limit)

    async def describe_jobs(self, snapshots: Sequence[JobSnapshot]) -> tuple[Job, ...]:
        """Convert snapshots, of any tenants, to public jobs. The number of queries does not grow with the jobs."""
        return tuple(described.job for described in await self.estimate_jobs(snapshots))

    async def estimate_jobs(
        self, snapshots: Sequence[JobSnapshot], known_facts: Mapping[UUID, TenantFacts] = MappingProxyType({})
    ) -> tuple[DescribedJob, ...]:
        """Like ``describe_jobs``, with the whole estimate of each queued job.

        Args:
            known_facts: facts about tenants that need not be read, by tenant. Call ``refresh_estimates`` first.
        """
        facts = dict(known_facts)
        unknown = [snapshot for snapshot in snapshots if snapshot.tenant_id not in known_facts]
        if any(map(_needs_estimate, unknown)):
            async with self._database.connection() as connection:
                facts |= await self._load_facts(connection, unknown)
        return await self._describe_snapshots(snapshots, facts)

    async def refresh_estimates(self) -> None:
        """Read what estimates need, unless it is cached."""
        if not self._estimator.is_fresh:
            async with self._database.connection() as connection:
                await self._estimator.refresh_facts(connection)

    async def _load_facts(self, connection: Connection, snapshots: Sequence[JobSnapshot]) -> dict[UUID, TenantFacts]:
        """Load the facts about tenants that have queued jobs, and what estimates need. No query without such jobs."""
        if any(map(_needs_estimate, snapshots)):
            await self._estimator.refresh_facts(connection)
        tenant_ids = {snapshot.tenant_id for snapshot in snapshots if snapshot.queued_at is not None}
        return await tenants.load_tenant_facts(connection, tenant_ids) if tenant_ids else {}

    async def _describe_snapshots(
        self, snapshots: Sequence[JobSnapshot], facts: dict[UUID, TenantFacts]
    ) -> tuple[DescribedJob, ...]:
        """Convert snapshots. Call it without an open connection, because the fleet state may need one from the pool."""
        requirements = {job.requirement_id for job in snapshots if _needs_estimate(job)}
        surveys = await self._fleet.survey_nodes(requirements) if requirements else {}
        described = []
        for job in snapshots:
            tenant = facts.get(job.tenant_id)
            if job.queued_at is not None and tenant is not None:
                described.append(self._describe_queued(job, tenant, surveys[job.requirement_id]))
            elif job.state is JobState.RUNNING:
                remaining = self._estimator.estimate_running_job(job, surveys[job.requirement_id])
                forecast = JobForecast(None, remaining.p50_s, remaining.p90_s) if remaining else None
                described.append(DescribedJob(build_public_job(job, forecast)))
            else:  # neither queued nor running, or the account was erased in the meantime
                described.append(DescribedJob(build_public_job(job)))
        return tuple(described)

    def _describe_queued(self, job: JobSnapshot, tenant: TenantFacts, survey: NodeSurvey) -> DescribedJob:
        queued = QueuedJobFacts(
            queued_since=job.queued_at or job.created_at,
            now=job.now,
            jobs_ahead=None if job.queue_position is None else job.queue_position - 1,
            on_hold=job.on_hold,
            avoid_node=job.avoid_node,
            avoid_until=job.avoid_until,
        )
        waiting = explain_waiting(queued, tenant, survey)
        place = self._estimator.find_place(job, tenant, survey)
        if place is None:
            return DescribedJob(build_public_job(job, None, waiting))
        eta = None
        if waiting.reason not in REASONS_WITHOUT_ETA:
            eta = self._estimator.estimate_queued_job(job, tenant, survey, place)
        forecast = JobForecast(place.position, eta.end_s if eta else None, eta.end_p90_s if eta else None)
        return DescribedJob(build_public_job(job, forecast, waiting), eta)


def _needs_estimate(job: JobSnapshot) -> bool:
    return job.queued_at is not None or job.state is JobState.RUNNING
