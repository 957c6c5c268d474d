"""Recreates missing JetStream streams and publishes their messages again from the outbox."""

from chassis.loop import Loop
from chassis.messaging import streams
from chassis.messaging.bus import Bus
from chassis.messaging.outbox import Relay
from chassis.telemetry.logs import log
from contracts.registry import JOB_EVENTS, JOB_PROGRESS, JOB_PURGES

EVERY_S = 2.0


class StreamRestorer:
    """Ensures that the streams exist and refills them.

    A stream that had to be recreated is empty, so all messages that the outbox still holds (one hour) are published
    again. Jobs do not depend on a stream: a consumer that missed older events reads them from the scheduler.
    """

    def __init__(self, bus: Bus, relay: Relay, relay_loop: Loop) -> None:
        self._bus, self._relay, self._relay_loop = bus, relay, relay_loop

    async def tick(self) -> None:
        """Run one pass, for ``chassis.loop.Loop``."""
        if not self._bus.connected:
            return
        created = await streams.declare(self._bus, (JOB_EVENTS, JOB_PROGRESS, JOB_PURGES))
        if lost := created - {JOB_PROGRESS.name}:
            log.warning("scheduler.stream_recreated", streams=sorted(lost))
            await self._relay.repeat()
            self._relay_loop.wake()
        await self._relay.prune()
