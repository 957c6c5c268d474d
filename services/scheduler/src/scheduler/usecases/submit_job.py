"""A job is accepted: one transaction writes job, quota, idempotency key and outbox row, or nothing."""

from datetime import datetime, timedelta
from uuid import UUID

from chassis.logs import log
from chassis.postgres import Connection, Database
from contracts.auth import UnknownTenant
from contracts.scheduler import (
    InvalidWorkflow,
    KeyReused,
    QueueFull,
    Quota,
    QuotaExceeded,
    SubmitJob,
    Submitted,
    UnknownJob,
)
from contracts.workflow import estimate_images, read_graph
from scheduler.domain.job import view
from scheduler.store import jobs, nodes, tenants
from scheduler.store.tenants import LockedTenant
from scheduler.usecases.fleet import FleetKnowledge
from scheduler.usecases.read_job import JobReader
from scheduler.usecases.tenant_limits import TenantLimits

QUEUE_RETRY_S = 5  # a place in the queue may be free by then


class JobSubmitter:
    """Admits jobs under the tenant's limits."""

    def __init__(self, database: Database, limits: TenantLimits, fleet: FleetKnowledge, reader: JobReader) -> None:
        self._database, self._limits, self._fleet, self._reader = database, limits, fleet, reader

    async def submit(self, tenant_id: UUID, command: SubmitJob) -> Submitted:
        """Accept the job, or say again that it was accepted. When this returns, the job is committed.

        Raises:
            InvalidWorkflow: no node can run it as it is.
            KeyReused: the idempotency key belongs to another request.
            QuotaExceeded, QueueFull: the tenant's limits are reached.
            NoFleet, UnknownTenant, Unavailable: see there.
        """
        await self._limits.refresh(tenant_id)
        async with self._database.transaction() as connection:
            replayed = await self._replay(connection, tenant_id, command)
        if replayed is not None:
            return replayed
        graph, errors = read_graph(command.graph, "/workflow")
        if errors:
            raise InvalidWorkflow(errors)
        needs = await self._fleet.needs(graph)
        images = estimate_images(graph)
        async with self._database.transaction() as connection:
            # On its own, so that whoever sees the job sees what it needs.
            requirement_id = await nodes.requirement(connection, needs)
        async with self._database.transaction() as connection:
            tenant = await tenants.lock(connection, tenant_id)
            if tenant is None:
                raise UnknownTenant
            replayed = await self._replay(connection, tenant_id, command)
            if replayed is not None:
                return replayed
            _admit(tenant, images)
            await jobs.insert(
                connection,
                command,
                tenant_id=tenant_id,
                requirement_id=requirement_id,
                images=images,
                now=tenant.now,
            )
            await tenants.charge_images(connection, tenant_id, tenant.today, images)
            await tenants.enqueued(connection, tenant_id)
            submitted = await self._submitted(connection, tenant, command.job_id, used=tenant.images_today + images)
        log.info("scheduler.job.submitted", tenant=str(tenant_id), job_id=str(command.job_id), images=images)
        return submitted

    async def _replay(self, connection: Connection, tenant_id: UUID, command: SubmitJob) -> Submitted | None:
        """The decision that was made on this very request before, if any."""
        found = await jobs.earlier(connection, tenant_id, command.job_id, command.idempotency_key)
        if found is None:
            return None
        job_id, request_hash = found
        if request_hash != command.request_hash:
            raise KeyReused
        tenant = await tenants.lock(connection, tenant_id)
        if tenant is None:
            raise UnknownTenant
        return await self._submitted(connection, tenant, job_id, used=tenant.images_today, replayed=True)

    async def _submitted(
        self, connection: Connection, tenant: LockedTenant, job_id: UUID, *, used: int, replayed: bool = False
    ) -> Submitted:
        standing = await jobs.find(connection, tenant.id, job_id)
        if standing is None:
            raise UnknownJob
        eta = await self._reader.eta(connection, standing.queue_position)
        quota = Quota(limit=tenant.images_per_day, used=used, resets_at=_midnight(tenant.now))
        return Submitted(job=view(standing, eta), replayed=replayed, quota=quota)


def _admit(tenant: LockedTenant, images: int) -> None:
    """Refuse what the tenant's limits do not allow. Sound only under the tenant's lock."""
    if not tenant.is_active:
        raise UnknownTenant
    limit = tenant.images_per_day
    if limit is not None and tenant.images_today + images > limit:
        left = max(0, limit - tenant.images_today)
        wait_s = (_midnight(tenant.now) - tenant.now).total_seconds()
        raise QuotaExceeded(limit=limit, left=left, images=images, retry_after_s=wait_s)
    if tenant.queue_cap is not None and tenant.queued >= tenant.queue_cap:
        raise QueueFull(cap=tenant.queue_cap, retry_after_s=QUEUE_RETRY_S)


def _midnight(now: datetime) -> datetime:
    """The next 00:00 UTC, when the day's quota is whole again."""
    return now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
