"""Tracks what keeps a reachable node from accepting jobs, and for how long."""

from typing import NamedTuple

from contracts.scheduler.heartbeats import OccupancyCause, ReportedOccupancy


class Occupant(NamedTuple):
    """What occupies a node: a prompt, outputs that wait for the artifact store, or an unwritable journal.

    Attributes:
        prompt_id: id of the prompt in the node's queue; None if it is unknown or there is no prompt.
        is_running: false if prompts are pending but none runs. A living worker thread takes a pending one within a
            millisecond.
    """

    cause: OccupancyCause
    prompt_id: str | None
    is_running: bool


class Occupancy:
    """Tracks what occupies the node, and since when.

    Args:
        blocked_after_s: a node that has the same occupant for longer counts as blocked.
        dead_worker_s: if prompts are pending for longer while none runs, the worker thread counts as dead.
    """

    def __init__(self, *, blocked_after_s: float, dead_worker_s: float) -> None:
        self._blocked_after_s, self._dead_worker_s = blocked_after_s, dead_worker_s
        self._occupant: Occupant | None = None
        self._since = 0.0
        self._worker_died = False

    def record_occupant(self, occupant: Occupant, now: float) -> None:
        """Record what occupies the node now. A different occupant restarts the timer."""
        if occupant != self._occupant:
            self._occupant, self._since, self._worker_died = occupant, now, False

    def record_worker_death(self) -> None:
        """Record that the worker thread has died."""
        self._worker_died = True

    def record_free(self) -> None:
        """Record that nothing occupies the node any more."""
        self._occupant = None

    def is_suspicious(self, now: float) -> bool:
        """Whether the occupancy has lasted long enough to look for signs of a dead worker."""
        return self._occupant is not None and now - self._since > self._dead_worker_s

    def build_report(self, now: float) -> ReportedOccupancy | None:
        """Return what occupies the node; None if it is free."""
        if self._occupant is None:
            return None
        seconds = max(now - self._since, 0.0)
        dead = self._worker_died or (not self._occupant.is_running and seconds > self._dead_worker_s)
        return ReportedOccupancy(
            by=OccupancyCause.DEAD_WORKER if dead else self._occupant.cause,
            prompt_id=self._occupant.prompt_id,
            seconds=round(seconds, 3),
            blocked=dead or seconds > self._blocked_after_s,
        )
