"""Consumes the purges of jobs. A message is acknowledged once its purge is recorded in the right database."""

from collections.abc import Callable, Sequence

from chassis.messaging.bus import Bus
from chassis.messaging.dead_letters import DeadLetterStore
from chassis.messaging.stream_consumer import ReceivedMessage, RedeliverLater, StreamConsumer
from contracts.registry import GATEWAY_JOB_PURGES
from contracts.scheduler.purges import JobPurged
from gateway.purges.service import PurgedDataRemover
from gateway.storage.status import StoreNotPaired


def create_purge_consumer(
    bus: Bus, remover: PurgedDataRemover, dead_letters: DeadLetterStore, *, on_recorded: Callable[[], None]
) -> StreamConsumer[JobPurged]:
    """Return the consumer that records purges, so that the data of these jobs is deleted.

    While the artifact store is not known to be paired with the database, this may be the wrong database. So a
    purge is recorded, and its message also stays in the stream until the store is paired: at most 30 days, as long as
    the stream keeps messages.
    """

    async def record(messages: Sequence[ReceivedMessage[JobPurged]]) -> None:
        await remover.record_purges([message.payload for message in messages])
        on_recorded()
        try:
            remover.require_pairing()
        except StoreNotPaired as error:
            raise RedeliverLater(str(error)) from error

    return StreamConsumer(bus, GATEWAY_JOB_PURGES, record, dead_letters)
