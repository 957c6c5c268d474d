"""The attempt at hand, as every loop sees it."""

import asyncio

from chassis.telemetry.logs import log
from contracts.scheduler import AttemptRef
from executor.domain.attempt import Record, Stop


class AtHand:
    """At most one attempt, how far it is, and whether it is to stop. For one event loop."""

    def __init__(self) -> None:
        self.stopped = asyncio.Event()
        self.percent = 0.0
        self._record: Record | None = None
        self._stop: Stop | None = None
        self._ended = False

    @property
    def record(self) -> Record | None:
        """The attempt, as it was when it was taken."""
        return self._record

    @property
    def ref(self) -> AttemptRef | None:
        """The right to write about the attempt."""
        return self._record.ref if self._record else None

    @property
    def stop(self) -> Stop | None:
        """Why the attempt is to stop, None while it is not."""
        return self._stop

    def take(self, record: Record) -> None:
        """Take an attempt in hand."""
        self._record, self._stop, self._ended, self.percent = record, None, record.finish is not None, 0.0
        self.stopped.clear()

    def ended(self) -> None:
        """The attempt ended by itself: from now on nothing stops it."""
        self._ended = True

    def release(self) -> None:
        """Nothing is at hand any more."""
        self._record, self._stop, self.percent = None, None, 0.0
        self.stopped.clear()

    def order(self, stop: Stop, ref: AttemptRef) -> None:
        """Have an attempt stopped, if it is the one at hand and has not ended."""
        if self.ref != ref or self._ended or self._stop is not None:
            return
        log.info("executor.attempt.stopping", job_id=str(ref.job_id), attempt=ref.attempt, why=stop)
        self._stop = stop
        self.stopped.set()
