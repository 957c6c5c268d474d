"""Background loops of the artifact store."""

from chassis.loop import Loop
from gateway.artifact_store.orphans import OrphanSweeper
from gateway.artifact_store.service import StoreMonitor

CHECK_APPROVALS_EVERY_S = 10.0  # a deletion that an admin approves begins within this time


def create_store_loops(monitor: StoreMonitor, sweeper: OrphanSweeper, *, check_every_s: float) -> tuple[Loop, ...]:
    """Return the loops that check the store and that look for objects without a record."""
    every_s = min(CHECK_APPROVALS_EVERY_S, sweeper.rules.interval.total_seconds())
    return (
        Loop("gateway.check_store", monitor.check_space_and_pairing, every_s=check_every_s),
        Loop("gateway.sweep_orphans", sweeper.sweep_if_due, every_s=every_s),
    )
