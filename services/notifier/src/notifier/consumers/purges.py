"""Hears which jobs are gone: JOB_PURGES, at least once; acknowledged once no event of them is kept."""

from chassis.loop import Loop
from chassis.messaging.bus import Bus
from chassis.messaging.streams import Reader
from contracts.registry import JOB_PURGES
from contracts.retention import JOB_PURGED
from notifier.store.events import Events

EVERY_S = 0.2  # the reader itself waits for messages; this only paces it while NATS is away


def forget_purged(bus: Bus, events: Events) -> Loop:
    """The loop that forgets what happened to jobs that are gone."""
    reader = Reader(bus, JOB_PURGES, JOB_PURGED, service="notifier")

    async def read() -> None:
        await reader.tick(lambda gone: events.purge([job.job_id for job in gone]))

    return Loop("notifier.forget_purged", read, every_s=EVERY_S)
