"""The current attempt, shared by all loops."""

import asyncio

from chassis.telemetry.logs import log
from contracts.scheduler.attempts import AttemptRef
from executor.domain.attempt import Record, Stop


class CurrentAttempt:
    """At most one attempt, its phase, and whether it is being stopped. For one event loop."""

    def __init__(self) -> None:
        self.stopped = asyncio.Event()
        self.percent = 0.0
        self._record: Record | None = None
        self._stop: Stop | None = None
        self._ended = False

    @property
    def record(self) -> Record | None:
        """The attempt as it was assigned."""
        return self._record

    @property
    def ref(self) -> AttemptRef | None:
        """The attempt with its fencing token."""
        return self._record.ref if self._record else None

    @property
    def stop(self) -> Stop | None:
        """Why the attempt is being stopped, None while it is not."""
        return self._stop

    def take(self, record: Record) -> None:
        """Set the current attempt."""
        self._record, self._stop, self._ended, self.percent = record, None, record.finish is not None, 0.0
        self.stopped.clear()

    def ended(self) -> None:
        """Record that the attempt ended by itself; nothing stops it any more."""
        self._ended = True

    def release(self) -> None:
        """Clear the current attempt."""
        self._record, self._stop, self.percent = None, None, 0.0
        self.stopped.clear()

    def order(self, stop: Stop, ref: AttemptRef) -> None:
        """Stop this attempt, if it is the current one and has not ended."""
        if self.ref != ref or self._ended or self._stop is not None:
            return
        log.info("executor.attempt.stopping", job_id=str(ref.job_id), attempt=ref.attempt, why=stop)
        self._stop = stop
        self.stopped.set()
