"""Background loops of usage."""

from chassis.loop import Loop
from contracts.scheduler.usage import USAGE_DAYS
from gateway.usage.request_counts import RequestCounts
from gateway.usage.store import RequestUsageStore

PRUNE_S = 3600.0


def create_usage_loops(counts: RequestCounts, usage: RequestUsageStore, *, flush_s: float) -> tuple[Loop, ...]:
    """Write request counts to the database, and delete those older than ``USAGE_DAYS``."""

    async def delete_old() -> None:
        await usage.delete_old(keep=USAGE_DAYS)

    return (
        Loop("gateway.add_usage", counts.flush, every_s=flush_s),
        Loop("gateway.prune_usage", delete_old, every_s=PRUNE_S),
    )
