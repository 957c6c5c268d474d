"""Watches what keeps the node from accepting jobs, and alerts operators when it lasts."""

import time
from collections.abc import Callable

from chassis.telemetry.logs import log
from contracts.scheduler.heartbeats import ReportedOccupancy
from executor.domain.occupancy import Holder, Occupancy
from executor.usecases.worker_death import WorkerDeath


class WatchOccupancy:
    """Reports in heartbeats what occupies the node, and logs when the node becomes blocked and free again."""

    def __init__(self, occupancy: Occupancy, death: WorkerDeath) -> None:
        self._occupancy, self._death = occupancy, death
        self._changed: Callable[[], None] = lambda: None
        self._blocked = False

    def when_changed(self, callback: Callable[[], None]) -> None:
        """Register a callback for the node becoming blocked or free."""
        self._changed = callback

    async def see(self, holder: Holder, *, waiting: int = 0) -> None:
        """Record what occupies the node now, and how many prompts are pending in its queue."""
        now = time.monotonic()
        self._occupancy.see(holder, now)
        if holder.runs and self._occupancy.is_suspicious(now) and await self._death.is_told(waiting=waiting):
            self._occupancy.note_death()
        state = self.state()
        if state is None or state.blocked == self._blocked:
            return
        self._blocked = state.blocked
        if state.blocked:
            # An alert: an operator has to check the node.
            log.error("executor.node.blocked", by=state.by, prompt_id=state.prompt_id, seconds=state.seconds)
        else:
            log.info("executor.node.unblocked", by=state.by, prompt_id=state.prompt_id)
        self._changed()

    def end(self) -> None:
        """Record that nothing occupies the node any more."""
        state = self.state()
        if state is None:
            return
        self._occupancy.end()
        if self._blocked:
            self._blocked = False
            log.info("executor.node.unblocked")
        self._changed()

    def state(self) -> ReportedOccupancy | None:
        """What occupies the node, None when it is free."""
        return self._occupancy.state(time.monotonic())
