"""Accounts for the time in which a node runs no prompt of its executor."""

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
    """Adds idle time to the reason that held while it passed. Begins with ``STARTING``.

    Args:
        add: called with a reason and the seconds that passed with it.
        clock: monotonic, seconds.
    """

    def __init__(self, add: Callable[[IdleReason, float], None], clock: Callable[[], float]) -> None:
        self._add, self._clock = add, clock
        self._reason: IdleReason | None = IdleReason.STARTING
        self._since_s = clock()

    def enter(self, reason: IdleReason) -> None:
        """The node is idle for this reason from now on."""
        self.flush()
        self._reason = reason

    def enter_running(self) -> None:
        """The node runs a prompt from now on."""
        self.flush()
        self._reason = None

    def enter_request(self) -> None:
        """The executor requests work from now on. While the scheduler does not answer, that stays the reason."""
        if self._reason is not IdleReason.SCHEDULER_UNAVAILABLE:
            self.enter(IdleReason.NO_WORK)

    def flush(self) -> None:
        """Add the time that passed since the last change."""
        now_s = self._clock()
        if self._reason is not None:
            self._add(self._reason, now_s - self._since_s)
        self._since_s = now_s
