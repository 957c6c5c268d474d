"""Say how far a job is, often enough and never too often."""

import asyncio
import time
from datetime import UTC, datetime

from chassis.messaging.bus import Bus
from contracts.executor import PROGRESS
from executor.domain.attempt import Record
from executor.domain.progress import ProgressFold
from executor.usecases.at_hand import AtHand

APART_S = 0.1  # ten a second are more than anybody can see


class SayProgress:
    """Says the progress of one attempt: a first, the latest of each tenth of a second, a last."""

    def __init__(self, bus: Bus, record: Record, fold: ProgressFold, at_hand: AtHand) -> None:
        self._bus, self._record, self._fold, self._at_hand = bus, record, fold, at_hand
        self.changed = asyncio.Event()

    async def keep_saying(self) -> None:
        """Say every change until cancelled."""
        while True:
            await self.say()
            await asyncio.sleep(APART_S)
            await self.changed.wait()

    async def say(self, *, succeeded: bool = False) -> None:
        """Say how far it is now."""
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
