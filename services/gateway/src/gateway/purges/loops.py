"""Background loops of purges and erasures."""

from chassis.loop import Loop
from chassis.messaging.dead_letters import DeadLetterStore
from gateway.purges.erase_tenants import TenantEraser
from gateway.purges.service import PurgedDataRemover

ERASE_EVERY_S = 2.0
PRUNE_EVERY_S = 3600.0


def create_deletion_loop(remover: PurgedDataRemover, *, every_s: float) -> Loop:
    """Return the loop that deletes the data of jobs whose purge is recorded. Wake it after a purge."""
    return Loop("gateway.delete_purged", remover.delete_recorded, every_s=every_s)


def create_leftovers_loop(remover: PurgedDataRemover, *, every_s: float) -> Loop:
    """Return the loop that deletes leftovers of purged jobs, and detects missed purges."""

    async def delete() -> None:
        await remover.delete_leftovers()
        await remover.detect_missed_purges()

    return Loop("gateway.delete_leftovers", delete, every_s=every_s)


def create_erasure_loop(eraser: TenantEraser) -> Loop:
    """Return the loop that deletes data of erased tenants."""
    return Loop("gateway.erase", eraser.erase_pending, every_s=ERASE_EVERY_S)


def create_dead_letter_loop(dead_letters: DeadLetterStore) -> Loop:
    """Return the loop that deletes old dead letters."""
    return Loop("gateway.prune_dead_letters", dead_letters.prune, every_s=PRUNE_EVERY_S)
