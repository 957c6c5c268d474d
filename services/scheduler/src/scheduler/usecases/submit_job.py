"""A job is accepted: one transaction writes job, quota, idempotency key and outbox row, or nothing."""

from collections.abc import Callable
from uuid import UUID

from chassis.logs import log
from chassis.postgres import Database
from chassis.statement import Connection
from contracts.auth import UnknownTenant
from contracts.scheduler import (
    InvalidWorkflow,
    JobState,
    KeyReused,
    QueueFull,
    Quota,
    QuotaExceeded,
    SubmitJob,
    Submitted,
    UnknownJob,
)
from contracts.wire.errors import Refusal
from contracts.workflow import estimate_images, read_graph
from scheduler.domain.job import Standing, view
from scheduler.domain.quota import midnight, quota
from scheduler.store import jobs, tenants
from scheduler.store.jobs import Facts
from scheduler.store.tenants import LockedTenant
from scheduler.usecases.announce import Announcer
from scheduler.usecases.fleet import FleetKnowledge
from scheduler.usecases.read_job import JobReader
from scheduler.usecases.tenant_limits import TenantLimits

QUEUE_RETRY_S = 5  # a place in the queue may be free by then


class JobSubmitter:
    """Admits jobs under the tenant's limits."""

    def __init__(
        self,
        database: Database,
        *,
        limits: TenantLimits,
        fleet: FleetKnowledge,
        reader: JobReader,
        announcer: Announcer,
        queued: Callable[[], None],
    ) -> None:
        self._database, self._limits, self._fleet = database, limits, fleet
        self._reader, self._announcer, self._queued = reader, announcer, queued

    async def submit(self, tenant_id: UUID, command: SubmitJob) -> Submitted:
        """Accept the job, or say again that it was accepted. When this returns, the job is committed.

        Raises:
            InvalidWorkflow: no node can run it as it is.
            KeyReused: the idempotency key belongs to another request.
            QuotaExceeded, QueueFull: the tenant's limits are reached.
            NoFleet, UnknownTenant, Unavailable: see there.
        """
        await self._limits.refresh(tenant_id)
        try:
            requirement_id, images = await self._check(command)
        except Refusal:
            # What was accepted once stays accepted, even if today's fleet would refuse it.
            async with self._database.direct() as connection:
                tenant = await _lock(connection, tenant_id)
                facts = await jobs.facts(connection, command, tenant_id=tenant_id, day=tenant.today)
                if facts.earlier is None:
                    raise
                return await self._replay(connection, tenant, command, facts)
        async with self._database.direct() as connection:
            tenant = await _lock(connection, tenant_id)
            facts = await jobs.facts(connection, command, tenant_id=tenant_id, day=tenant.today)
            if facts.earlier is not None:
                return await self._replay(connection, tenant, command, facts)
            _admit(tenant, facts, images)
            event = await jobs.insert(
                connection, command, tenant_id=tenant_id, requirement_id=requirement_id, images=images, now=tenant.now
            )
            standing = _standing(command, tenant, images=images, position=facts.ahead + 1)
            eta = await self._reader.eta(connection, standing.queue_position)
        self._queued()  # the database tells the other replicas, and us a moment later
        await self._announcer.say(event)
        log.info("scheduler.job.submitted", tenant=str(tenant_id), job_id=str(command.job_id), images=images)
        return Submitted(job=view(standing, eta), replayed=False, quota=_quota(tenant, facts.images_today + images))

    async def _check(self, command: SubmitJob) -> tuple[int, int]:
        """The id of what a node must have to run the job, and the images that it will make."""
        graph, errors = read_graph(command.graph, "/workflow")
        if errors:
            raise InvalidWorkflow(errors)
        needs = await self._fleet.needs(graph)
        return await self._fleet.requirement(needs), estimate_images(graph)

    async def _replay(
        self, connection: Connection, tenant: LockedTenant, command: SubmitJob, facts: Facts
    ) -> Submitted:
        """The decision that was made on this very request before."""
        job_id, request_hash = facts.earlier or (command.job_id, "")
        if request_hash != command.request_hash:
            raise KeyReused
        standing = await jobs.find(connection, tenant.id, job_id)
        if standing is None:
            raise UnknownJob
        eta = await self._reader.eta(connection, standing.queue_position)
        return Submitted(job=view(standing, eta), replayed=True, quota=_quota(tenant, facts.images_today))


async def _lock(connection: Connection, tenant_id: UUID) -> LockedTenant:
    tenant = await tenants.lock(connection, tenant_id)
    if tenant is None:
        raise UnknownTenant
    return tenant


def _admit(tenant: LockedTenant, facts: Facts, images: int) -> None:
    """Refuse what the tenant's limits do not allow. Sound only under the tenant's lock."""
    if not tenant.is_active:
        raise UnknownTenant
    limit = tenant.images_per_day
    if limit is not None and facts.images_today + images > limit:
        left = max(0, limit - facts.images_today)
        wait_s = (midnight(tenant.now) - tenant.now).total_seconds()
        raise QuotaExceeded(limit=limit, left=left, images=images, retry_after_s=wait_s)
    if tenant.queue_cap is not None and tenant.queued >= tenant.queue_cap:
        raise QueueFull(cap=tenant.queue_cap, retry_after_s=QUEUE_RETRY_S)


def _standing(command: SubmitJob, tenant: LockedTenant, *, images: int, position: int) -> Standing:
    """The job that was just written, as reading it back would show it."""
    return Standing(
        id=command.job_id,
        tenant_id=tenant.id,
        state=JobState.QUEUED,
        workflow=command.workflow,
        priority=command.priority,
        labels=command.labels,
        attempt=0,
        progress=0.0,
        images=images,
        seq=1,
        created_at=tenant.now,
        started_at=None,
        completed_at=None,
        now=tenant.now,
        outputs=(),
        error=None,
        queue_position=position,
    )


def _quota(tenant: LockedTenant, used: int) -> Quota:
    return quota(limit=tenant.images_per_day, used=used, now=tenant.now)
