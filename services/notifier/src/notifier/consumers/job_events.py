"""Keeps every job event: JOB_EVENTS, at least once; (job, seq) is the inbox; acknowledged once it is committed."""

from chassis.loop import Loop
from chassis.messaging.bus import Bus
from chassis.messaging.streams import Reader
from contracts.registry import JOB_EVENTS
from contracts.scheduler import JOB_CHANGED
from notifier.store.events import Events

EVERY_S = 0.2  # the reader itself waits for messages; this only paces it while NATS is away


def keep_job_events(bus: Bus, events: Events) -> Loop:
    """The loop that keeps what the stream tells."""
    reader = Reader(bus, JOB_EVENTS, JOB_CHANGED, service="notifier")

    async def read() -> None:
        await reader.tick(events.add)

    return Loop("notifier.keep_job_events", read, every_s=EVERY_S)
