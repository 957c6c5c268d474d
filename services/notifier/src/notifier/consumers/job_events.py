"""Stores every job event of the stream. A repeated delivery changes nothing: (job, seq) is the primary key."""

from collections.abc import Sequence
from typing import Any

from chassis.messaging.bus import Bus
from chassis.messaging.dead_letters import DeadLetterStore
from chassis.messaging.stream_consumer import ReceivedMessage, StreamConsumer
from chassis.telemetry.logs import log
from contracts.registry import NOTIFIER_JOB_EVENTS
from contracts.scheduler.jobs import FINAL_STATES, JobEvent
from notifier.store.events import EventStore


def build_log_fields(event: JobEvent) -> dict[str, Any]:
    """Return the fields of an event in the log, with the id of the request that submitted the job."""
    fields = {"job_id": str(event.job_id), "attempt": event.attempt, "seq": event.seq, "state": event.state}
    return fields | ({"request_id": event.request_id} if event.request_id else {})


def create_job_event_consumer(bus: Bus, events: EventStore, dead_letters: DeadLetterStore) -> StreamConsumer[JobEvent]:
    """Return the consumer that stores job events."""

    async def store(messages: Sequence[ReceivedMessage[JobEvent]]) -> None:
        await events.add_events([message.payload for message in messages])
        for event in (message.payload for message in messages):
            log_event = log.info if event.state in FINAL_STATES else log.debug
            log_event("notifier.event.stored", **build_log_fields(event))

    return StreamConsumer(bus, NOTIFIER_JOB_EVENTS, store, dead_letters)
