"""Reports the start and the end of attempts to the scheduler."""

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
from executor.usecases.retries import REQUEST_RETRIES, is_temporary

MAX_INTERNAL_ERRORS = 3  # internal errors of the scheduler before a report counts as permanently refused
HANDED_BACK = JobError(code="node.fault", message="The executor of the node was stopped.")
UNREPORTABLE_RESULT = JobError(code="node.answer_unusable", message="The node's response cannot be reported.")


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptReporter:
    """Reports attempts of one node."""

    bus: Bus
    node_name: str
    live_attempts: LiveAttempts

    async def report_start(self, ref: AttemptRef) -> None:
        """Report that the node accepted the prompt. Sent once, because the report of the end implies it.

        If the scheduler does not apply it, the lease is lost or the job was cancelled. The attempt is stopped then, and
        its end is reported in either case, because until then it occupies the node for the scheduler.
        """
        try:
            reply = await self.bus.request(START_ATTEMPT, StartAttempt(ref=ref), key=self.node_name)
        except Refusal as refusal:
            log.info("executor.start_report.failed", code=refusal.details.code)
            return
        if not reply.applied:
            self.live_attempts.request_stop(StopReason.CANCELLED, ref.job_id, ref.attempt)

    async def reserve_images(self, ref: AttemptRef, images: int) -> int:
        """Reserve this total number of images for the job; returns the number reserved. Retries until answered."""
        request = ReserveImages(ref=ref, images=images)
        try:
            reply = await REQUEST_RETRIES.on(is_temporary)(
                self.bus.request, RESERVE_IMAGES, request, key=self.node_name
            )
        except Refusal as refusal:
            log.error("executor.reservation.refused", code=refusal.details.code)
            return 0
        return reply.images

    async def report_end(self, finish: FinishAttempt, request: RequestWork | None = None) -> FinishReply:
        """Report how an attempt ended; retries until it is accepted or permanently refused.

        A permanently refused report is resent without the request, which schedulers of earlier versions do not know,
        and then as a minimal report. If that is refused too, the attempt ends when its lease expires.

        Args:
            request: request for the next attempt, which the report carries.

        Returns:
            The scheduler's reply. ``applied`` is false if the lease was lost or every report was refused.
        """
        with_request = [finish.model_copy(update={"request": request})] if request else []
        for report in (*with_request, finish, build_minimal_report(finish)):
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
            is_internal = isinstance(error, Refusal) and error.details.kind is ErrorKind.INTERNAL
            limit = MAX_INTERNAL_ERRORS if finish.request is None else 1  # the request may be the cause
            return is_temporary(error) or (is_internal and internal_errors < limit)

        try:
            return await REQUEST_RETRIES.on(may_succeed)(report_once)
        except Refusal as refusal:
            log.error("executor.end_report.refused", code=refusal.details.code, outcome=finish.outcome)
        except ValueError:  # cannot be serialized as JSON
            log.exception("executor.end_report.not_serializable", outcome=finish.outcome)
        return None


def build_minimal_report(finish: FinishAttempt) -> FinishAttempt:
    """Return a report without anything that came from the node. A success becomes a failure: it has no outputs.

    Schedulers of earlier versions refuse the outcome ``RELEASED``. They get a node fault instead, which counts as a try
    of the job.
    """
    if finish.outcome is Outcome.RELEASED:
        return FinishAttempt(ref=finish.ref, outcome=Outcome.NODE_FAULT, error=HANDED_BACK)
    if finish.outcome is Outcome.CANCELLED:
        return FinishAttempt(ref=finish.ref, outcome=Outcome.CANCELLED)
    return FinishAttempt(ref=finish.ref, outcome=Outcome.FAILED, error=UNREPORTABLE_RESULT)
