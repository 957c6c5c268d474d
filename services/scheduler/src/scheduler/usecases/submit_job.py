"""A job is accepted: one transaction writes job, quota, idempotency key and outbox row, or nothing."""

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic
from uuid import UUID

from chassis.messaging.serving import Request
from chassis.offload import INLINE_BYTES
from chassis.telemetry.logs import bound_here, log
from contracts.auth.tiers import Limits
from contracts.scheduler.submissions import SubmitJob, SubmitReply
from contracts.wire.errors import Refusal
from scheduler.domain.admission import Candidate
from scheduler.usecases.admit_jobs import JobAdmission
from scheduler.usecases.check_workflow import WorkflowChecker
from scheduler.usecases.fleet_state import FleetState
from scheduler.usecases.submit_groups import Answer, SubmitGroups
from scheduler.usecases.tenant_limits import TenantLimits

TURN_S = 0.005
UNKNOWN_BYTES = INLINE_BYTES + 1  # of a command that came in no message: it may be large


class JobSubmitter:
    """Admits jobs under the tenant's limits. ``queued`` is called after a commit that queued jobs."""

    def __init__(
        self,
        *,
        limits: TenantLimits,
        checker: WorkflowChecker,
        fleet: FleetState,
        admission: JobAdmission,
        queued: Callable[[], None],
    ) -> None:
        self._limits, self._fleet, self._admission, self._queued = limits, fleet, admission, queued
        self._checker = checker
        self._groups = SubmitGroups(self._decide)

    async def submit(self, tenant_id: UUID, command: SubmitJob) -> SubmitReply:
        """Accept the job, or say again that it was accepted. When this returns, the job is committed.

        It is not said live: until the answer is there, nobody knows of a job that could be watched.

        Raises:
            InvalidWorkflow: no node can run it as it is, or it is beyond the tenant's bounds.
            RunTimeTooLong: it asks for longer than the tenant's attempts may run.
            IdempotencyKeyReused: the idempotency key belongs to another request.
            IdempotencyKeyOfPurgedJob: the job that it belongs to was purged.
            QuotaExceeded, GpuSecondsExceeded, QueueFull: the tenant's limits are reached.
            EmptyFleet, UnknownTenant, Unavailable: see there.
        """
        request = Request(command, bound_here().get("request_id", ""), size_bytes=UNKNOWN_BYTES)
        (answer,) = await self.submit_all(tenant_id, [request])
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def submit_all(self, tenant_id: UUID, requests: Sequence[Request]) -> Sequence[SubmitReply | Exception]:
        """Decide on jobs of one tenant, in order: each answer is what ``submit`` would return or raise."""
        limits = await self._limits.refresh(tenant_id)
        candidates, since = [], monotonic()
        for request in requests:
            candidates.append(await self._candidate(tenant_id, limits, request))
            if monotonic() - since > TURN_S:  # many small ones together hold the event loop as one large one would
                await asyncio.sleep(0)
                since = monotonic()
        return await self._groups.submit(candidates)

    async def _candidate(self, tenant_id: UUID, limits: Limits, request: Request) -> Candidate:
        try:
            return await self._check(tenant_id, limits, request)
        except Refusal as refusal:
            # What was accepted once stays accepted, even if today's fleet would refuse it.
            return Candidate(tenant_id, request.payload, refusal=refusal)

    async def _check(self, tenant_id: UUID, limits: Limits, request: Request) -> Candidate:
        """What a node must have to run the job, and the images that it will make."""
        command = request.payload
        examined = await self._checker.check_workflow(command, limits, size_bytes=request.size_bytes)
        command = command.model_copy(
            update={
                "run_within_seconds": command.run_within_seconds or limits.run_seconds,
                "seed": examined.seeds[0].seed if command.seed is None and examined.seeds else command.seed,
                "seeds": examined.seeds or command.seeds,
            }
        )
        return Candidate(
            tenant_id,
            command,
            graph=examined.graph,
            requirement_id=await self._fleet.save_requirement(examined.needs),
            images=examined.images,
            nodes_online=self._fleet.has_nodes_online,
            request_id=request.request_id,
        )

    async def _decide(self, candidates: Sequence[Candidate], patient: bool) -> Sequence[Answer | None]:
        answers = await self._admission.decide(candidates, patient)
        made = [
            candidate
            for candidate, answer in zip(candidates, answers, strict=True)
            if isinstance(answer, SubmitReply) and not answer.replayed
        ]
        if made:
            self._queued()  # the database tells the other replicas, and us a moment later
            log.info("scheduler.jobs.submitted", jobs=[candidate.told for candidate in made])
        return answers
