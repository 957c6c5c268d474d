"""Reports to the scheduler how an attempt begins and ends."""

from dataclasses import dataclass

from chassis.messaging.bus import Bus
from chassis.telemetry.logs import log
from contracts.scheduler.attempts import (
    FINISH_ATTEMPT,
    RESERVE_IMAGES,
    START_ATTEMPT,
    AttemptRef,
    FinishAttempt,
    FinishReply,
    Outcome,
    RequestWork,
    ReserveImages,
    StartAttempt,
)
from contracts.scheduler.jobs import JobError
from contracts.wire.errors import ErrorKind, Refusal
from executor.domain.attempt import StopReason
from executor.usecases.live_attempts import LiveAttempts
from executor.usecases.retries import REQUESTS, is_temporary

MAX_INTERNAL_ERRORS = 3  # internal errors of the scheduler before a report counts as permanently refused
HANDED_BACK = JobError(code="node.fault", message="The executor of the node was stopped.")
UNREPORTABLE = JobError(code="node.answer_unusable", message="What the node answered cannot be reported.")


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptReporter:
    """Reports attempts of one node."""

    bus: Bus
    node_name: str
    live: LiveAttempts

    async def report_start(self, ref: AttemptRef) -> None:
        """Report that the node accepted the prompt. Sent once: the final report repeats it.

        If it is not applied, the lease is lost or the job was cancelled. The attempt then occupies the node until its
        end is reported, so the end is reported in either case.
        """
        try:
            written = await self.bus.request(START_ATTEMPT, StartAttempt(ref=ref), key=self.node_name)
        except Refusal as refusal:
            log.info("executor.start_report.failed", code=refusal.details.code)
            return
        if not written.applied:
            self.live.request_stop(StopReason.CANCELLED, ref.job_id, ref.attempt)

    async def reserve_images(self, ref: AttemptRef, images: int) -> int:
        """Reserve this total number of images for the job; returns the number reserved. Retries until answered."""
        request = ReserveImages(ref=ref, images=images)
        try:
            reply = await REQUESTS.on(is_temporary)(self.bus.request, RESERVE_IMAGES, request, key=self.node_name)
        except Refusal as refusal:
            log.error("executor.reservation.refused", code=refusal.details.code)
            return 0
        return reply.images

    async def report_end(self, finish: FinishAttempt, request: RequestWork | None = None) -> FinishReply:
        """Report how an attempt ended; retries until it is accepted or permanently refused.

        A permanently refused report is resent without the request, which schedulers of earlier versions do not know,
        and then without the node's texts. If that is refused too, the attempt is released and ends with its lease.

        Args:
            request: for the next attempt.

        Returns:
            Not applied if the lease was lost or nothing could be reported.
        """
        with_request = [finish.model_copy(update={"request": request})] if request else []
        for report in (*with_request, finish, remove_node_texts(finish)):
            reply = await self._report_until_answered(report)
            if reply is not None:
                return reply
        return FinishReply(applied=False)

    async def _report_until_answered(self, finish: FinishAttempt) -> FinishReply | None:
        """Return the reply, None when the report was permanently refused."""
        internal_errors = 0

        async def report_once() -> FinishReply:
            nonlocal internal_errors
            try:
                return await self.bus.request(FINISH_ATTEMPT, finish, key=self.node_name)
            except Refusal as refusal:
                internal_errors += refusal.details.kind is ErrorKind.INTERNAL
                raise

        def may_succeed(error: BaseException) -> bool:
            is_fault = isinstance(error, Refusal) and error.details.kind is ErrorKind.INTERNAL
            most = MAX_INTERNAL_ERRORS if finish.request is None else 1  # its request may be the cause
            return is_temporary(error) or (is_fault and internal_errors < most)

        try:
            return await REQUESTS.on(may_succeed)(report_once)
        except Refusal as refusal:
            log.error("executor.end_report.refused", code=refusal.details.code, outcome=finish.outcome)
        except ValueError:  # cannot be serialized as JSON
            log.exception("executor.end_report.not_serializable", outcome=finish.outcome)
        return None


def remove_node_texts(finish: FinishAttempt) -> FinishAttempt:
    """Return the same result without the node's texts.

    Schedulers of earlier versions refuse a released attempt. They get a fault of the node: it is tried again, but
    counts as a try.
    """
    if finish.outcome is Outcome.RELEASED:
        return FinishAttempt(ref=finish.ref, outcome=Outcome.NODE_FAULT, error=HANDED_BACK)
    if finish.outcome is Outcome.CANCELLED:
        return FinishAttempt(ref=finish.ref, outcome=Outcome.CANCELLED)
    return FinishAttempt(ref=finish.ref, outcome=Outcome.FAILED, error=UNREPORTABLE)
