"""Stores job events from JOB_EVENTS, at least once; (job, seq) deduplicates.

A message is acknowledged after its commit.
"""

from chassis.loop import Loop
from chassis.messaging.bus import Bus
from chassis.messaging.streams import Reader
from contracts.registry import JOB_EVENTS
from contracts.scheduler.jobs import JOB_CHANGED
from notifier.store.events import Events

EVERY_S = 0.2  # the reader waits for messages itself; this only paces it during a NATS outage


def keep_job_events(bus: Bus, events: Events) -> Loop:
    reader = Reader(bus, JOB_EVENTS, JOB_CHANGED, service="notifier")

    async def read() -> None:
        await reader.tick(events.add)

    return Loop("notifier.keep_job_events", read, every_s=EVERY_S)
