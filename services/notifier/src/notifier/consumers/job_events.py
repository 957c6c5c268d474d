"""Stores every job event of the stream; (job, seq) makes a second delivery harmless."""

from collections.abc import Sequence

from chassis.messaging.bus import Bus
from chassis.messaging.dead_letters import DeadLetterStore
from chassis.messaging.stream_consumer import Received, StreamConsumer
from contracts.registry import NOTIFIER_JOB_EVENTS
from contracts.scheduler.jobs import JobEvent
from notifier.store.events import EventStore


def job_event_consumer(bus: Bus, events: EventStore, dead_letters: DeadLetterStore) -> StreamConsumer[JobEvent]:
    """The consumer that stores job events."""

    async def store(messages: Sequence[Received[JobEvent]]) -> None:
        await events.add_events([message.payload for message in messages])

    return StreamConsumer(bus, NOTIFIER_JOB_EVENTS, store, dead_letters)
