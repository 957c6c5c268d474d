"""Submits a job: one transaction writes job, quota, idempotency key and outbox row, or nothing."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from uuid import UUID

from chassis.offload import INLINE_BYTES
from chassis.telemetry.logs import get_log_context, log
from contracts.auth.tiers import Limits
from contracts.scheduler.submissions import SubmitJob, SubmitReply
from contracts.wire.errors import Refusal
from scheduler.domain.admission import PendingSubmission
from scheduler.usecases.admit_jobs import JobAdmission
from scheduler.usecases.check_workflow import WorkflowChecker
from scheduler.usecases.fleet_state import FleetState
from scheduler.usecases.submit_groups import Answer, SubmitGroups
from scheduler.usecases.tenant_limits import TenantLimits

UNKNOWN_SIZE_BYTES = INLINE_BYTES + 1  # of a command that did not arrive as a message: it may be large


class JobSubmitter:
    """Admits jobs under the tenant's limits.

    Args:
        on_jobs_queued: called with the requirement of each job after jobs were queued and committed.
    """

    def __init__(
        self,
        *,
        limits: TenantLimits,
        checker: WorkflowChecker,
        fleet: FleetState,
        admission: JobAdmission,
        on_jobs_queued: Callable[[Sequence[int]], None],
    ) -> None:
        self._limits, self._fleet, self._admission, self._on_jobs_queued = limits, fleet, admission, on_jobs_queued
        self._checker = checker
        self._groups = SubmitGroups(self._decide_group)

    async def submit_job(
        self,
        tenant_id: UUID,
        command: SubmitJob,
        *,
        size_bytes: int = UNKNOWN_SIZE_BYTES,
        deadline: float | None = None,
    ) -> SubmitReply:
        """Accept the job, or repeat the answer if it was accepted before. The job is committed when this returns.

        No live event is published: nobody can watch the job before this returns its id.

        Args:
            size_bytes: size of the command as it was sent; a large workflow is checked in a thread.
            deadline: the job is not accepted after this time by ``time.monotonic()``.

        Raises:
            RequestExpired: the deadline passed while the submission waited. The job is not accepted.
            InvalidWorkflow: no node can run the workflow, or it exceeds the tenant's limits.
            StartTimeTooLong: ``start_within_seconds`` exceeds the tenant's limit.
            RunTimeTooLong: ``run_within_seconds`` exceeds the tenant's limit.
            IdempotencyKeyReused: the idempotency key belongs to another request.
            IdempotencyKeyOfPurgedJob: the idempotency key belongs to a purged job.
            QuotaExceeded: the job needs more images than are left of the tenant's daily quota.
            GpuSecondsExceeded: the tenant has used its GPU-seconds of today.
            QueueFull: the tenant has reached its limit of queued jobs.
            EmptyFleet: no node has ever joined.
            UnknownTenant, Unavailable: see ``TenantLimits.refresh_limits``.
        """
        limits = await self._limits.refresh_limits(tenant_id)
        try:
            submission = await self._check_submission(tenant_id, command, limits, size_bytes)
        except Refusal as refusal:
            # A job that was accepted before stays accepted, even if today's fleet would refuse it.
            submission = PendingSubmission(tenant_id, command, refusal=refusal)
        answer = await self._groups.submit(replace(submission, deadline=deadline))
        if isinstance(answer, Refusal):
            raise answer
        return answer

    async def _check_submission(
        self, tenant_id: UUID, command: SubmitJob, limits: Limits, size_bytes: int
    ) -> PendingSubmission:
        """Check the workflow and determine the job's requirement and images."""
        checked = await self._checker.check_workflow(command, limits, size_bytes=size_bytes)
        command = command.model_copy(
            update={
                "start_within_seconds": command.start_within_seconds or limits.start_seconds,
                "run_within_seconds": command.run_within_seconds or limits.run_seconds,
                "seed": checked.seeds[0].seed if command.seed is None and checked.seeds else command.seed,
                "seeds": checked.seeds or command.seeds,
            }
        )
        return PendingSubmission(
            tenant_id,
            command,
            graph=checked.graph,
            requirement_id=await self._fleet.save_requirement(checked.needs),
            images=checked.images,
            fingerprint=checked.fingerprint,
            nodes_online=self._fleet.has_nodes_online,
            request_id=get_log_context().get("request_id", ""),
        )

    async def _decide_group(
        self, submissions: Sequence[PendingSubmission], wait_for_locks: bool
    ) -> Sequence[Answer | None]:
        answers = await self._admission.decide_group(submissions, wait_for_locks)
        accepted = [
            submission
            for submission, answer in zip(submissions, answers, strict=True)
            if isinstance(answer, SubmitReply) and not answer.replayed
        ]
        if accepted:  # other replicas are notified by the database
            self._on_jobs_queued([submission.requirement_id for submission in accepted])
            for submission in accepted:
                log.info("scheduler.job.admitted", **submission.log_fields)
        return answers
