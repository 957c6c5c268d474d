"""Deletes events of purged jobs, from JOB_PURGES, at least once. A message is acknowledged after the deletion."""

from chassis.loop import Loop
from chassis.messaging.bus import Bus
from chassis.messaging.streams import Reader
from contracts.registry import JOB_PURGES
from contracts.scheduler.purges import JOB_PURGED
from notifier.store.events import Events

EVERY_S = 0.2  # the reader waits for messages itself; this only paces it during a NATS outage


def forget_purged(bus: Bus, events: Events) -> Loop:
    reader = Reader(bus, JOB_PURGES, JOB_PURGED, service="notifier")

    async def read() -> None:
        await reader.tick(lambda gone: events.purge([job.job_id for job in gone]))

    return Loop("notifier.forget_purged", read, every_s=EVERY_S)
