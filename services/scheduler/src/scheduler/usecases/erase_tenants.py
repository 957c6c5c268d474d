"""Deletes all data of tenants whose account was erased: cancels and purges their jobs, then deletes the tenant."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

from chassis.database.postgres import Database
from chassis.messaging.bus import Bus
from chassis.telemetry.logs import log
from contracts.auth.erasure import READ_ERASURES, ReadErasures
from contracts.scheduler.jobs import CancelJob, UnknownJob
from contracts.wire.errors import Relayed, Unavailable
from scheduler.store import purges
from scheduler.usecases.cancel_job import JobCanceller

BATCH_SIZE = 100
REPEAT_FOR = timedelta(hours=1)  # messages that were in flight when the account was erased have arrived by then


class TenantEraser:
    """Requests the erased accounts from auth and deletes their data.

    A new process requests all erasures ever made, so none is missed after downtime or a restored backup. Erasures of
    the last hour, and those with an attempt that is still live, are repeated on every run.
    """

    def __init__(self, database: Database, bus: Bus, canceller: JobCanceller) -> None:
        self._database, self._bus, self._canceller = database, bus, canceller
        self._last_number = 0
        self._pending: dict[UUID, datetime] = {}
        self._auth_now = datetime.min.replace(tzinfo=UTC)

    async def erase_tenants(self) -> None:
        """Run one pass. While auth is unavailable, only erasures that are already known are processed."""
        with suppress(Unavailable, Relayed):
            while await self._fetch_erasures():
                pass
        for tenant_id, at in list(self._pending.items()):
            if await self._erase_tenant(tenant_id) and at < self._auth_now - REPEAT_FOR:
                del self._pending[tenant_id]

    async def _fetch_erasures(self) -> bool:
        """Fetch the next page of erasures. Returns whether there are more."""
        page = await self._bus.request(READ_ERASURES, ReadErasures(after=self._last_number))
        self._pending |= {erasure.tenant_id: erasure.at for erasure in page.erasures}
        self._auth_now = page.now
        self._last_number = max((erasure.number for erasure in page.erasures), default=self._last_number)
        return page.more

    async def _erase_tenant(self, tenant_id: UUID) -> bool:
        """Cancel and delete the tenant's jobs, then the tenant. Returns whether nothing is left."""
        async with self._database.single() as connection:
            live = await purges.list_live_jobs(connection, tenant_id)
        for job_id in live:
            with suppress(UnknownJob):
                await self._canceller.cancel_job(tenant_id, CancelJob(job_id=job_id))
        deleted, has_more = 0, True
        while has_more:
            async with self._database.direct() as connection:
                ended = await purges.lock_ended_jobs(connection, tenant_id, batch=BATCH_SIZE)
                if ended:
                    await purges.delete_jobs(connection, ended, with_inputs=True)
            deleted, has_more = deleted + len(ended), len(ended) == BATCH_SIZE
        if deleted:
            log.info("scheduler.tenant.jobs_erased", tenant=str(tenant_id), count=deleted)
        async with self._database.direct() as connection:
            return await purges.delete_tenant(connection, tenant_id)
