"""Publishes a job's progress at a bounded rate."""

import asyncio
import time
from datetime import UTC, datetime

from chassis.messaging.bus import Bus
from contracts.executor.progress import PROGRESS
from executor.domain.attempt import Record
from executor.domain.progress import ProgressFold
from executor.usecases.at_hand import CurrentAttempt

APART_S = 0.1  # seconds between two messages


class SayProgress:
    """Publishes the progress of one attempt: the first, then the latest at most ten times a second, and the last."""

    def __init__(self, bus: Bus, record: Record, fold: ProgressFold, at_hand: CurrentAttempt) -> None:
        self._bus, self._record, self._fold, self._at_hand = bus, record, fold, at_hand
        self.changed = asyncio.Event()

    async def keep_saying(self) -> None:
        """Publish every change until cancelled."""
        while True:
            await self.say()
            await asyncio.sleep(APART_S)
            await self.changed.wait()

    async def say(self, *, succeeded: bool = False) -> None:
        """Publish the current progress."""
        self.changed.clear()
        self._at_hand.percent = self._fold.percent
        progress = self._fold.snapshot(
            self._record.ref,
            at=datetime.now(UTC),
            elapsed_s=max(time.time() - self._record.begun_at, 0.0),
            succeeded=succeeded,
        )
        ref = self._record.ref
        await self._bus.publish(PROGRESS, progress, tenant=str(ref.tenant_id), key=str(ref.job_id))
