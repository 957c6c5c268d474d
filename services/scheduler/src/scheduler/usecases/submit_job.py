"""A job is accepted: one transaction writes job, quota, idempotency key and outbox row, or nothing."""

from collections.abc import Callable, Sequence
from uuid import UUID

import orjson

from chassis.logs import bound_here, log
from chassis.served import Request
from contracts.scheduler import InvalidWorkflow, SubmitJob, Submitted
from contracts.wire.errors import Refusal
from contracts.workflow import estimate_images, read_graph, written
from scheduler.domain.admission import Candidate
from scheduler.usecases.admit_jobs import JobAdmission
from scheduler.usecases.fleet import FleetKnowledge
from scheduler.usecases.submit_groups import Answer, SubmitGroups
from scheduler.usecases.tenant_limits import TenantLimits


class JobSubmitter:
    """Admits jobs under the tenant's limits. ``queued`` is called after a commit that queued jobs."""

    def __init__(
        self,
        *,
        limits: TenantLimits,
        fleet: FleetKnowledge,
        admission: JobAdmission,
        queued: Callable[[], None],
    ) -> None:
        self._limits, self._fleet, self._admission, self._queued = limits, fleet, admission, queued
        self._groups = SubmitGroups(self._decide)

    async def submit(self, tenant_id: UUID, command: SubmitJob) -> Submitted:
        """Accept the job, or say again that it was accepted. When this returns, the job is committed.

        It is not said live: until the answer is there, nobody knows of a job that could be watched.

        Raises:
            InvalidWorkflow: no node can run it as it is.
            KeyReused: the idempotency key belongs to another request.
            KeyOfPurgedJob: the job that it belongs to was purged.
            QuotaExceeded, QueueFull: the tenant's limits are reached.
            NoFleet, UnknownTenant, Unavailable: see there.
        """
        (answer,) = await self.submit_all(tenant_id, [Request(command, bound_here().get("request_id", ""))])
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def submit_all(self, tenant_id: UUID, requests: Sequence[Request]) -> Sequence[Submitted | Exception]:
        """Decide on jobs of one tenant, in order: each answer is what ``submit`` would return or raise."""
        await self._limits.refresh(tenant_id)
        return await self._groups.submit([await self._candidate(tenant_id, *one) for one in requests])

    async def _candidate(self, tenant_id: UUID, command: SubmitJob, request_id: str) -> Candidate:
        try:
            return await self._check(tenant_id, command, request_id)
        except Refusal as refusal:
            # What was accepted once stays accepted, even if today's fleet would refuse it.
            return Candidate(tenant_id, command, refusal=refusal)

    async def _check(self, tenant_id: UUID, command: SubmitJob, request_id: str) -> Candidate:
        """What a node must have to run the job, and the images that it will make."""
        graph, errors = read_graph(command.graph, "/workflow")
        if errors:
            raise InvalidWorkflow(errors)
        verdict = await self._fleet.check(graph, frozenset(map(str, command.inputs)))
        if verdict.seed is not None and command.seed is None:
            command = command.model_copy(update={"seed": verdict.seed})
        return Candidate(
            tenant_id,
            command,
            graph=orjson.dumps(written(verdict.graph)).decode(),
            requirement_id=await self._fleet.requirement(verdict.needs),
            images=estimate_images(verdict.graph),
            request_id=request_id,
        )

    async def _decide(self, candidates: Sequence[Candidate], patient: bool) -> Sequence[Answer | None]:
        answers = await self._admission.decide(candidates, patient)
        made = [
            candidate
            for candidate, answer in zip(candidates, answers, strict=True)
            if isinstance(answer, Submitted) and not answer.replayed
        ]
        if made:
            self._queued()  # the database tells the other replicas, and us a moment later
            log.info("scheduler.jobs.submitted", jobs=[candidate.told for candidate in made])
        return answers
