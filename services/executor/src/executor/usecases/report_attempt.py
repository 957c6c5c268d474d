"""Tell the scheduler how an attempt begins and ends."""

import asyncio
from dataclasses import dataclass

from chassis.bus import Bus
from chassis.logs import log
from contracts.scheduler import (
    FINISH_ATTEMPT,
    RESERVE_IMAGES,
    START_ATTEMPT,
    AttemptRef,
    FinishAttempt,
    ReserveImages,
    StartAttempt,
)
from contracts.wire.errors import Refusal
from executor.domain.attempt import Stop
from executor.usecases.at_hand import AtHand
from executor.usecases.patience import Pauses, passes


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportAttempt:
    """Reports about attempts of one node."""

    bus: Bus
    node_name: str
    at_hand: AtHand

    async def started(self, ref: AttemptRef) -> None:
        """Say that the node took the prompt. Said once: if it is lost, the end says it too.

        If it is not applied, the lease is gone, or the job was cancelled before. Then the attempt holds the node until
        its end is told, so that is told in either case: where the lease is gone, it is not applied.
        """
        try:
            written = await self.bus.ask(START_ATTEMPT, StartAttempt(ref=ref), key=self.node_name)
        except Refusal as refusal:
            log.info("executor.start.unheard", code=refusal.refused.code)
            return
        if not written.applied:
            self.at_hand.order(Stop.CANCELLED, ref)

    async def reserve(self, ref: AttemptRef, images: int) -> int:
        """Ask for so many images in all for the job, until it is answered; what is reserved then."""
        pauses = Pauses(0.2, 2.0)
        while True:
            try:
                return (
                    await self.bus.ask(RESERVE_IMAGES, ReserveImages(ref=ref, images=images), key=self.node_name)
                ).images
            except Refusal as refusal:
                if not passes(refusal):
                    log.error("executor.reserve.refused", code=refusal.refused.code)
                    return 0
                log.info("executor.reserve.unheard", code=refusal.refused.code)
            await asyncio.sleep(next(pauses))

    async def finished(self, finish: FinishAttempt) -> bool:
        """Say how an attempt ended, again and again until it is answered.

        Returns:
            Whether it counts. If not, the lease was somebody else's by then.
        """
        pauses = Pauses(0.2, 2.0)
        while True:
            try:
                return (await self.bus.ask(FINISH_ATTEMPT, finish, key=self.node_name)).applied
            except Refusal as refusal:
                if not passes(refusal):
                    log.error("executor.finish.refused", code=refusal.refused.code, finish=finish.model_dump_json())
                    return False
                log.info("executor.finish.unheard", code=refusal.refused.code)
            await asyncio.sleep(next(pauses))
