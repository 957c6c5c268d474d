"""Tell the scheduler how an attempt begins and ends."""

from dataclasses import dataclass

from chassis.messaging.bus import Bus
from chassis.telemetry.logs import log
from contracts.scheduler import (
    FINISH_ATTEMPT,
    RESERVE_IMAGES,
    START_ATTEMPT,
    AttemptRef,
    FinishAttempt,
    JobError,
    Outcome,
    ReserveImages,
    StartAttempt,
)
from contracts.wire.errors import Kind, Refusal
from executor.domain.attempt import Stop
from executor.usecases.at_hand import AtHand
from executor.usecases.retries import REQUESTS, is_temporary

FAULTS = 3  # internal faults of the scheduler before a report counts as refused for good
UNUSABLE = JobError(code="node.answer_unusable", message="What the node answered cannot be reported.")


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
            written = await self.bus.request(START_ATTEMPT, StartAttempt(ref=ref), key=self.node_name)
        except Refusal as refusal:
            log.info("executor.start.unheard", code=refusal.refused.code)
            return
        if not written.applied:
            self.at_hand.order(Stop.CANCELLED, ref)

    async def reserve(self, ref: AttemptRef, images: int) -> int:
        """Ask for so many images in all for the job, until it is answered; what is reserved then."""
        question = ReserveImages(ref=ref, images=images)
        try:
            reply = await REQUESTS.on(is_temporary)(self.bus.request, RESERVE_IMAGES, question, key=self.node_name)
        except Refusal as refusal:
            log.error("executor.reserve.refused", code=refusal.refused.code)
            return 0
        return reply.images

    async def finished(self, finish: FinishAttempt) -> bool:
        """Say how an attempt ended, until it is answered or refused for good.

        A report that is refused for good is followed by one without a word of the node's; where that is refused as
        well, the attempt is let go of, and ends with its lease.

        Returns:
            Whether it counts. If not, the lease was somebody else's by then, or nothing could be reported.
        """
        for report in (finish, without_details(finish)):
            applied = await self._said(report)
            if applied is not None:
                return applied
        return False

    async def _said(self, finish: FinishAttempt) -> bool | None:
        """Whether it counts, None where it is refused for good."""
        faults = 0

        async def report_once() -> bool:
            nonlocal faults
            try:
                return (await self.bus.request(FINISH_ATTEMPT, finish, key=self.node_name)).applied
            except Refusal as refusal:
                faults += refusal.refused.kind is Kind.INTERNAL
                raise

        def may_succeed(error: BaseException) -> bool:
            is_fault = isinstance(error, Refusal) and error.refused.kind is Kind.INTERNAL
            return is_temporary(error) or (is_fault and faults < FAULTS)

        try:
            return await REQUESTS.on(may_succeed)(report_once)
        except Refusal as refusal:
            log.error("executor.finish.refused", code=refusal.refused.code, outcome=finish.outcome)
        except ValueError:  # it cannot even be written as JSON
            log.exception("executor.finish.unwritable", outcome=finish.outcome)
        return None


def without_details(finish: FinishAttempt) -> FinishAttempt:
    """The same end with nothing that the node said."""
    if finish.outcome is Outcome.CANCELLED:
        return FinishAttempt(ref=finish.ref, outcome=Outcome.CANCELLED)
    return FinishAttempt(ref=finish.ref, outcome=Outcome.FAILED, error=UNUSABLE)
