"""The current attempt, shared by all loops."""

import asyncio

from chassis.telemetry.logs import log
from contracts.scheduler.attempts import AttemptRef
from executor.domain.attempt import AttemptRecord, StopReason


class CurrentAttempt:
    """At most one attempt, its phase, and whether it is being stopped. For one event loop."""

    def __init__(self) -> None:
        self.stop_requested = asyncio.Event()
        self.percent = 0.0
        self.graph_node: str | None = None  # the node of the graph that runs, and its class
        self.graph_node_class: str | None = None
        self._record: AttemptRecord | None = None
        self._stop: StopReason | None = None
        self._ended = False

    @property
    def record(self) -> AttemptRecord | None:
        """The attempt as it was assigned."""
        return self._record

    @property
    def ref(self) -> AttemptRef | None:
        """The attempt with its fencing token."""
        return self._record.ref if self._record else None

    @property
    def stop_reason(self) -> StopReason | None:
        """Why the attempt is being stopped, None while it is not."""
        return self._stop

    def set_attempt(self, record: AttemptRecord) -> None:
        """Set the current attempt."""
        self._record, self._stop, self._ended, self.percent = record, None, record.finish is not None, 0.0
        self.graph_node = self.graph_node_class = None
        self.stop_requested.clear()

    def mark_ended(self) -> None:
        """Record that the attempt ended by itself; nothing stops it any more."""
        self._ended = True

    def clear_attempt(self) -> None:
        """Clear the current attempt."""
        self._record, self._stop, self.percent = None, None, 0.0
        self.graph_node = self.graph_node_class = None
        self.stop_requested.clear()

    def request_stop(self, stop: StopReason, ref: AttemptRef) -> None:
        """Stop this attempt, if it is the current one and has not ended."""
        if self.ref != ref or self._ended or self._stop is not None:
            return
        log.info("executor.attempt.stopping", job_id=str(ref.job_id), attempt=ref.attempt, why=stop)
        self._stop = stop
        self.stop_requested.set()
