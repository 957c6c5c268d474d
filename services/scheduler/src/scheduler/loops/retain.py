"""Nothing is kept for longer than it was promised."""

from chassis.loop import Loop
from scheduler.usecases.erase_tenants import TenantEraser
from scheduler.usecases.purge_jobs import JobPurger

ERASE_EVERY_S = 2.0


def retention_loop(purger: JobPurger, *, every_s: float) -> Loop:
    """The loop that deletes jobs, and what is known of deleted ones, whose time is over."""

    async def retain() -> None:
        await purger.purge_due()
        await purger.forget()

    return Loop("scheduler.retain", retain, every_s=every_s)


def erasure_loop(eraser: TenantEraser) -> Loop:
    """The loop that forgets tenants whose account was erased."""
    return Loop("scheduler.erase", eraser.look, every_s=ERASE_EVERY_S)
