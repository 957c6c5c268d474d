"""Hears for certain which jobs are gone: JOB_PURGES, at least once; acknowledged once nothing of them is left."""

from chassis.loop import Loop
from chassis.messaging.bus import Bus
from chassis.messaging.streams import Reader
from contracts.registry import JOB_PURGES
from contracts.scheduler.purges import JOB_PURGED
from gateway.purges.service import JobRemover

EVERY_S = 0.2  # the reader itself waits for messages; this only paces it while NATS is away


def remove_purged(bus: Bus, remover: JobRemover) -> Loop:
    """The loop that removes what belonged to jobs that are gone."""
    reader = Reader(bus, JOB_PURGES, JOB_PURGED, service="gateway")

    async def read() -> None:
        await reader.tick(remover.remove)

    return Loop("gateway.remove_purged", read, every_s=EVERY_S)
