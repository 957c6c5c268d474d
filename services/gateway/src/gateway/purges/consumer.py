"""Consumes the purges of jobs. A message is acknowledged once everything of its job is deleted."""

from collections.abc import Sequence

from chassis.messaging.bus import Bus
from chassis.messaging.dead_letters import DeadLetterStore
from chassis.messaging.stream_consumer import ReceivedMessage, StreamConsumer
from contracts.registry import GATEWAY_JOB_PURGES
from contracts.scheduler.purges import JobPurged
from gateway.purges.service import JobRemover


def purge_consumer(bus: Bus, remover: JobRemover, dead_letters: DeadLetterStore) -> StreamConsumer[JobPurged]:
    """Return the consumer that deletes what belonged to purged jobs."""

    async def remove(messages: Sequence[ReceivedMessage[JobPurged]]) -> None:
        await remover.delete_purged([message.payload for message in messages])

    return StreamConsumer(bus, GATEWAY_JOB_PURGES, remove, dead_letters)
