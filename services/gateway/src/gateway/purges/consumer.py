"""Consumes the purges of jobs. A message is acknowledged once all data of its job is deleted."""

from collections.abc import Sequence

from chassis.messaging.bus import Bus
from chassis.messaging.dead_letters import DeadLetterStore
from chassis.messaging.stream_consumer import ReceivedMessage, StreamConsumer
from contracts.registry import GATEWAY_JOB_PURGES
from contracts.scheduler.purges import JobPurged
from gateway.purges.service import PurgedDataRemover


def create_purge_consumer(
    bus: Bus, remover: PurgedDataRemover, dead_letters: DeadLetterStore
) -> StreamConsumer[JobPurged]:
    """Return the consumer that deletes what belonged to purged jobs."""

    async def delete(messages: Sequence[ReceivedMessage[JobPurged]]) -> None:
        await remover.delete_purged_jobs([message.payload for message in messages])

    return StreamConsumer(bus, GATEWAY_JOB_PURGES, delete, dead_letters)
