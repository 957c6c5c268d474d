"""Watches what keeps the node from accepting jobs, and alerts operators when it lasts."""

import time
from collections.abc import Callable

from chassis.telemetry.logs import log
from contracts.scheduler.heartbeats import OccupancyCause, ReportedOccupancy
from executor.domain.occupancy import Occupancy, Occupant
from executor.usecases.detect_worker_death import WorkerDeathDetector


class OccupancyMonitor:
    """Tracks what occupies the node, for heartbeats. Logs when the node becomes blocked and when it no longer is."""

    def __init__(self, occupancy: Occupancy, death_detector: WorkerDeathDetector) -> None:
        self._occupancy, self._death_detector = occupancy, death_detector
        self._on_change: Callable[[], None] = lambda: None
        self._blocked = False

    def register_change_callback(self, callback: Callable[[], None]) -> None:
        """Register a callback.

        It runs when the node becomes blocked, unblocked or free, and when outputs that wait for the artifact store, or
        an unwritable journal, begin to occupy a free node.
        """
        self._on_change = callback

    async def record_occupant(self, occupant: Occupant, *, pending_count: int = 0) -> None:
        """Record what occupies the node now, and how many prompts are pending in its queue."""
        now = time.monotonic()
        self._occupancy.record_occupant(occupant, now)
        if (
            occupant.is_running
            and self._occupancy.is_suspicious(now)
            and await self._death_detector.is_worker_dead(pending_count=pending_count)
        ):
            self._occupancy.record_worker_death()
        self._log_and_notify()

    def record_storage_wait(self, why: str) -> None:
        """Record that outputs of the current attempt wait for the artifact store, until ``record_free``."""
        state = self.get_report()
        if state is None or state.by is not OccupancyCause.STORAGE:
            log.warning("executor.outputs.wait_for_storage", why=why)
        self._record_cause(OccupancyCause.STORAGE)

    def record_unwritable_journal(self) -> None:
        """Record that the executor takes no work because its journal cannot be written, until ``record_free``."""
        self._record_cause(OccupancyCause.JOURNAL)

    def _record_cause(self, cause: OccupancyCause) -> None:
        was_free = self.get_report() is None
        self._occupancy.record_occupant(Occupant(cause, None, is_running=True), time.monotonic())
        if was_free:
            self._on_change()
        self._log_and_notify()

    def _log_and_notify(self) -> None:
        """Log when the node becomes blocked, or is no longer blocked because a new occupant took over.

        Call the callback in both cases.
        """
        state = self.get_report()
        if state is None or state.blocked == self._blocked:
            return
        self._blocked = state.blocked
        if state.blocked:
            # An alert: an operator has to check the node.
            log.error("executor.node.blocked", by=state.by, prompt_id=state.prompt_id, seconds=state.seconds)
        else:
            log.info("executor.node.unblocked", by=state.by, prompt_id=state.prompt_id)
        self._on_change()

    def record_free(self) -> None:
        """Record that nothing occupies the node any more. Call the callback if something did."""
        state = self.get_report()
        if state is None:
            return
        self._occupancy.record_free()
        if self._blocked:
            self._blocked = False
            log.info("executor.node.unblocked")
        self._on_change()

    def get_report(self) -> ReportedOccupancy | None:
        """Return what occupies the node; None if it is free."""
        return self._occupancy.build_report(time.monotonic())
