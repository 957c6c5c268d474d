"""Consumes JOB_PURGES, at least once. A message is acknowledged once everything of the job is deleted."""

from chassis.loop import Loop
from chassis.messaging.bus import Bus
from chassis.messaging.streams import Reader
from contracts.registry import JOB_PURGES
from contracts.scheduler.purges import JOB_PURGED
from gateway.purges.service import JobRemover

EVERY_S = 0.2  # the reader waits for messages itself; this is the pause between attempts while NATS is unavailable


def remove_purged(bus: Bus, remover: JobRemover) -> Loop:
    """The loop that deletes what belonged to purged jobs."""
    reader = Reader(bus, JOB_PURGES, JOB_PURGED, service="gateway")

    async def read() -> None:
        await reader.tick(remover.remove)

    return Loop("gateway.remove_purged", read, every_s=EVERY_S)
