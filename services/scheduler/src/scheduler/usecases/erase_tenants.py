"""Nothing is left of a tenant whose account was erased: its jobs end and are purged, and then it goes itself."""

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

BATCH = 100
LATE = timedelta(hours=1)  # what was on its way when an account was erased has arrived by then


class TenantEraser:
    """Asks auth who was erased, and forgets them.

    A fresh process asks about all that ever were, so that nobody is missed: not by a service that was away, nor by a
    database that came from a backup. Those of the last hour are done again and again, and those with a job that has
    not ended everywhere until it has.
    """

    def __init__(self, database: Database, bus: Bus, canceller: JobCanceller) -> None:
        self._database, self._bus, self._canceller = database, bus, canceller
        self._after = 0
        self._undone: dict[UUID, datetime] = {}
        self._now = datetime.min.replace(tzinfo=UTC)

    async def look(self) -> None:
        """One look. Without auth there is nothing new, and what was heard of goes on."""
        with suppress(Unavailable, Relayed):
            while await self._hear():
                pass
        for tenant_id, at in list(self._undone.items()):
            if await self._erase(tenant_id) and at < self._now - LATE:
                del self._undone[tenant_id]

    async def _hear(self) -> bool:
        """Hear who was erased since; whether there is more to hear."""
        found = await self._bus.request(READ_ERASURES, ReadErasures(after=self._after))
        self._undone |= {one.tenant_id: one.at for one in found.erasures}
        self._now = found.now
        self._after = max((one.number for one in found.erasures), default=self._after)
        return found.more

    async def _erase(self, tenant_id: UUID) -> bool:
        """End and delete the tenant's jobs, and the tenant; whether nothing is left of it."""
        async with self._database.single() as connection:
            live = await purges.live(connection, tenant_id)
        for job_id in live:
            with suppress(UnknownJob):
                await self._canceller.cancel(tenant_id, CancelJob(job_id=job_id))
        gone, full = 0, True
        while full:
            async with self._database.direct() as connection:
                ended = await purges.hold_ended(connection, tenant_id, batch=BATCH)
                if ended:
                    await purges.purge(connection, ended, with_inputs=True)
            gone, full = gone + len(ended), len(ended) == BATCH
        if gone:
            log.info("scheduler.tenant.jobs_erased", tenant=str(tenant_id), count=gone)
        async with self._database.direct() as connection:
            return await purges.drop_tenant(connection, tenant_id)
