"""Publishes a job's progress at a bounded rate."""

import asyncio
from datetime import UTC, datetime

from chassis.messaging.bus import Bus
from contracts.executor.progress import PROGRESS
from executor.domain.progress import ProgressTracker
from executor.usecases.live_attempts import LiveAttempt

MIN_INTERVAL_S = 0.1  # seconds between two messages


class ProgressPublisher:
    """Publishes the progress of one attempt: at once, then the latest at most ten times a second, and finally the last.

    Attributes:
        changed: event that the owner of the progress sets when it has changed.
    """

    def __init__(self, bus: Bus, attempt: LiveAttempt, tracker: ProgressTracker) -> None:
        self._bus, self._attempt, self._tracker = bus, attempt, tracker
        self.changed = asyncio.Event()

    async def publish_changes(self) -> None:
        """Publish every change until cancelled."""
        while True:
            await self.publish_progress()
            await asyncio.sleep(MIN_INTERVAL_S)
            await self.changed.wait()

    async def publish_progress(self, *, succeeded: bool = False) -> None:
        """Publish the current progress."""
        self.changed.clear()
        self._attempt.percent = self._tracker.percent
        progress = self._tracker.build_message(
            self._attempt.ref,
            at=datetime.now(UTC),
            elapsed_s=self._attempt.elapsed_s,
            succeeded=succeeded,
        )
        self._attempt.graph_node, self._attempt.graph_node_class = progress.node, progress.node_class
        ref = self._attempt.ref
        await self._bus.publish(PROGRESS, progress, tenant=str(ref.tenant_id), key=str(ref.job_id))
