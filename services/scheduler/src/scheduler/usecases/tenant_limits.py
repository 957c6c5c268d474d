"""What may this tenant use? Asked of auth, kept here, good for a while."""

from time import monotonic
from uuid import UUID

from chassis.bus import Bus
from chassis.logs import log
from chassis.postgres import Database
from contracts.auth import READ_TENANT, ReadTenant
from contracts.wire.errors import Unavailable
from scheduler.store import tenants


class TenantLimits:
    """Keeps the limits of tenants in our own database, so that admission needs nobody else.

    Limits older than ``fresh_s`` seconds are asked for again; while auth is away the kept ones hold.
    """

    def __init__(self, database: Database, bus: Bus, *, fresh_s: float) -> None:
        self._database, self._bus, self._fresh_s = database, bus, fresh_s
        self._fresh_until: dict[UUID, float] = {}

    async def refresh(self, tenant_id: UUID) -> None:
        """Make sure that the tenant's row is there and fresh enough.

        Raises:
            UnknownTenant: auth knows no such tenant.
            Unavailable: auth is away and the tenant was never seen.
        """
        if monotonic() < self._fresh_until.get(tenant_id, 0):
            return
        try:
            tenant = await self._bus.ask(READ_TENANT, ReadTenant(), tenant=str(tenant_id))
        except Unavailable:
            async with self._database.direct() as connection:
                if not await tenants.is_known(connection, tenant_id):
                    raise
            log.warning("scheduler.limits_stale", tenant=str(tenant_id))
            return
        async with self._database.direct() as connection:
            await tenants.save_limits(connection, tenant)
        self._fresh_until[tenant_id] = monotonic() + self._fresh_s
