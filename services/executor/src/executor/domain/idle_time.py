"""Counts the time in which a node runs no prompt of its executor, by reason."""

from collections.abc import Callable
from enum import StrEnum


class IdleReason(StrEnum):
    """Why a node runs no prompt; see ``contracts.metrics.NODE_IDLE_SECONDS``."""

    STARTING = "starting"
    NODE_OFFLINE = "node_offline"
    OCCUPIED = "occupied"
    SCHEDULER_UNAVAILABLE = "scheduler_unavailable"
    NO_WORK = "no_work"
    PREPARING = "preparing"
    FINISHING = "finishing"
    PAUSED = "paused"


class IdleTime:
    """Counts the seconds that a node is idle for the current reason. The first reason is ``STARTING``.

    Args:
        add: called with a reason and the seconds to add to it.
        clock: monotonic, seconds.
    """

    def __init__(self, add: Callable[[IdleReason, float], None], clock: Callable[[], float]) -> None:
        self._add, self._clock = add, clock
        self._reason: IdleReason | None = IdleReason.STARTING
        self._since_s = clock()

    def switch_to(self, reason: IdleReason) -> None:
        """Count idle time for this reason from now on."""
        self.flush()
        self._reason = reason

    def stop(self) -> None:
        """Stop counting: the node runs a prompt."""
        self.flush()
        self._reason = None

    def record_work_request(self) -> None:
        """Switch to ``NO_WORK``. The reason ``SCHEDULER_UNAVAILABLE`` stays until the scheduler answers."""
        if self._reason is not IdleReason.SCHEDULER_UNAVAILABLE:
            self.switch_to(IdleReason.NO_WORK)

    def flush(self) -> None:
        """Add the time that passed since the last change."""
        now_s = self._clock()
        if self._reason is not None:
            self._add(self._reason, now_s - self._since_s)
        self._since_s = now_s
