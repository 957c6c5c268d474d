"""Periodically deletes jobs past their retention and data of erased tenants."""

from chassis.loop import Loop
from scheduler.usecases.erase_tenants import TenantEraser
from scheduler.usecases.purge_jobs import JobPurger
from scheduler.usecases.tenant_limits import TenantLimits

ERASE_EVERY_S = 2.0


def create_retention_loop(purger: JobPurger, limits: TenantLimits, *, every_s: float) -> Loop:
    """Return a loop that deletes jobs past their tenant's retention, and expired records about deleted jobs."""

    async def delete_expired() -> None:
        await limits.refresh_next_saved_limits()
        await purger.purge_expired_jobs()
        await purger.delete_expired_records()

    return Loop("scheduler.retention", delete_expired, every_s=every_s)


def create_erasure_loop(eraser: TenantEraser) -> Loop:
    """Return a loop that deletes all data of tenants whose account was erased."""
    return Loop("scheduler.erase_tenants", eraser.erase_tenants, every_s=ERASE_EVERY_S)
