"""What NATS has lost is said again from the database, which is the truth."""

from chassis.loop import Loop
from chassis.messaging import streams
from chassis.messaging.bus import Bus
from chassis.messaging.outbox import Relay
from chassis.telemetry.logs import log
from contracts.registry import JOB_EVENTS, JOB_PROGRESS, JOB_PURGES

EVERY_S = 2.0


class Reconciler:
    """Keeps the streams there, and their content whole.

    A stream that had to be made anew has lost what it held: what the outbox still keeps of the last hour is published
    again. Jobs never depend on a stream: whoever missed older events asks for them.
    """

    def __init__(self, bus: Bus, relay: Relay, relay_loop: Loop) -> None:
        self._bus, self._relay, self._relay_loop = bus, relay, relay_loop

    async def tick(self) -> None:
        """One look. A duty for ``chassis.loop.Loop``."""
        if not self._bus.connected:
            return
        made = await streams.declare(self._bus, (JOB_EVENTS, JOB_PROGRESS, JOB_PURGES))
        if lost := made - {JOB_PROGRESS.name}:
            log.warning("scheduler.stream_made", streams=sorted(lost))
            await self._relay.repeat()
            self._relay_loop.wake()
        await self._relay.prune()
