"""Reads what a tenant uses now: images of today, running and queued jobs."""

from uuid import UUID

from chassis.database.postgres import Database
from contracts.auth.accounts import UnknownTenant
from contracts.scheduler.usage import TenantUsage
from scheduler.domain.quota import build_quota
from scheduler.store import tenants
from scheduler.usecases.tenant_limits import TenantLimits


class CurrentUsageReader:
    """Reads the counters that also decide submits."""

    def __init__(self, database: Database, *, limits: TenantLimits) -> None:
        self._database, self._limits = database, limits

    async def read_current_usage(self, tenant_id: UUID) -> TenantUsage:
        """Return the images of today, and the numbers of running and queued jobs.

        Raises:
            UnknownTenant: auth knows no such tenant.
            Unavailable: auth is unavailable and the tenant was never seen.
        """
        await self._limits.refresh_limits(tenant_id)
        async with self._database.connection() as connection:
            found = await tenants.load_usage(connection, tenant_id)
        if found is None:
            raise UnknownTenant
        return TenantUsage(
            quota=build_quota(limit=found["images_per_day"], used=found["images"], now=found["now"]),
            running=found["running"],
            queued=found["queued"],
        )
