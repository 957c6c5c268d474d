"""What does a tenant use now?"""

from uuid import UUID

from chassis.database.postgres import Database
from contracts.auth.accounts import UnknownTenant
from contracts.scheduler.usage import TenantUsage
from scheduler.domain.quota import quota
from scheduler.store import tenants
from scheduler.usecases.tenant_limits import TenantLimits


class UseReader:
    """Shows tenants their counters, by which submits are judged."""

    def __init__(self, database: Database, *, limits: TenantLimits) -> None:
        self._database, self._limits = database, limits

    async def read(self, tenant_id: UUID) -> TenantUsage:
        """Today's images and the jobs that run and wait.

        Raises:
            UnknownTenant: auth knows no such tenant.
            Unavailable: auth is away and the tenant was never seen.
        """
        await self._limits.refresh(tenant_id)
        async with self._database.single() as connection:
            found = await tenants.use(connection, tenant_id)
        if found is None:
            raise UnknownTenant
        return TenantUsage(
            quota=quota(limit=found["images_per_day"], used=found["images"], now=found["now"]),
            running=found["running"],
            queued=found["queued"],
        )
