"""Consumes the purges of jobs. A message is acknowledged once all events of its job are deleted."""

from collections.abc import Sequence

from chassis.messaging.bus import Bus
from chassis.messaging.dead_letters import DeadLetterStore
from chassis.messaging.stream_consumer import ReceivedMessage, StreamConsumer
from contracts.registry import NOTIFIER_JOB_PURGES
from contracts.scheduler.purges import JobPurged
from notifier.store.events import EventStore


def create_purge_consumer(bus: Bus, events: EventStore, dead_letters: DeadLetterStore) -> StreamConsumer[JobPurged]:
    """Return the consumer that deletes the events of purged jobs."""

    async def delete(messages: Sequence[ReceivedMessage[JobPurged]]) -> None:
        await events.purge_jobs([message.payload.job_id for message in messages])

    return StreamConsumer(bus, NOTIFIER_JOB_PURGES, delete, dead_letters)
