"""A job is accepted: one transaction writes job, quota, idempotency key and outbox row, or nothing."""

from collections.abc import Callable, Sequence
from uuid import UUID

import orjson

from chassis.logs import log
from chassis.postgres import Database
from chassis.statement import Connection
from contracts.auth import UnknownTenant
from contracts.retention import KeyOfPurgedJob
from contracts.scheduler import InvalidWorkflow, SubmitJob, Submitted
from contracts.wire.errors import Refusal
from contracts.workflow import estimate_images, read_graph
from scheduler.domain.admission import Accepted, Candidate, Ledger, LockedTenant, Replayed, Verdict
from scheduler.domain.job import Standing, view
from scheduler.store import jobs, submits, tenants
from scheduler.usecases.fleet import FleetKnowledge
from scheduler.usecases.read_job import JobReader
from scheduler.usecases.submit_groups import Answer, SubmitGroups
from scheduler.usecases.tenant_limits import TenantLimits


class JobSubmitter:
    """Admits jobs under the tenant's limits. ``queued`` is called after a commit that queued jobs."""

    def __init__(
        self,
        database: Database,
        *,
        limits: TenantLimits,
        fleet: FleetKnowledge,
        reader: JobReader,
        queued: Callable[[], None],
    ) -> None:
        self._database, self._limits, self._fleet = database, limits, fleet
        self._reader, self._queued = reader, queued
        self._groups = SubmitGroups(self._commit)

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
        await self._limits.refresh(tenant_id)
        try:
            candidate = await self._check(tenant_id, command)
        except Refusal as refusal:
            # What was accepted once stays accepted, even if today's fleet would refuse it.
            candidate = Candidate(tenant_id, command, refusal=refusal)
        answer = await self._groups.submit(candidate)
        if isinstance(answer, Refusal):
            raise answer
        if not answer.replayed:
            log.info(
                "scheduler.job.submitted", tenant=str(tenant_id), job_id=str(command.job_id), images=candidate.images
            )
        return answer

    async def _check(self, tenant_id: UUID, command: SubmitJob) -> Candidate:
        """What a node must have to run the job, and the images that it will make."""
        graph, errors = read_graph(command.graph, "/workflow")
        if errors:
            raise InvalidWorkflow(errors)
        needs = await self._fleet.needs(graph, frozenset(map(str, command.inputs)))
        return Candidate(
            tenant_id,
            command,
            graph=orjson.dumps(command.graph).decode(),
            requirement_id=await self._fleet.requirement(needs),
            images=estimate_images(graph),
        )

    async def _commit(self, candidates: Sequence[Candidate], patient: bool) -> list[Answer | None]:
        """Decide a group; None for those whose tenant is locked by somebody else, unless there is the patience."""
        wanted = {candidate.tenant_id for candidate in candidates}
        async with self._database.direct() as connection:
            locked = await tenants.lock_all(connection, wanted, patient=patient)
            deciding = [candidate for candidate in candidates if candidate.tenant_id in locked]
            verdicts = await _decide(connection, deciding, locked)
            accepted = [verdict for verdict in verdicts if isinstance(verdict, Accepted)]
            if accepted:
                await submits.insert(connection, accepted, day=accepted[0].standing.now.date())
            replayed = {verdict.job_id for verdict in verdicts if isinstance(verdict, Replayed)}
            earlier = await jobs.find_all(connection, replayed) if replayed else {}
            answers = iter([await self._answer(connection, verdict, earlier) for verdict in verdicts])
        if accepted:
            self._queued()  # the database tells the other replicas, and us a moment later
        absent: Answer | None = UnknownTenant() if patient else None
        return [next(answers) if candidate.tenant_id in locked else absent for candidate in candidates]

    async def _answer(self, connection: Connection, verdict: Verdict, earlier: dict[UUID, Standing]) -> Answer:
        if isinstance(verdict, Refusal):
            return verdict
        replayed = isinstance(verdict, Replayed)
        standing = earlier.get(verdict.job_id) if isinstance(verdict, Replayed) else verdict.standing
        if standing is None:
            return KeyOfPurgedJob()
        eta = await self._reader.eta(connection, standing.queue_position)
        return Submitted(job=view(standing, eta), replayed=replayed, quota=verdict.quota)


async def _decide(
    connection: Connection, candidates: Sequence[Candidate], locked: dict[UUID, LockedTenant]
) -> list[Verdict]:
    if not candidates:
        return []
    ledgers: dict[UUID, Ledger] = {}
    verdicts = []
    found = await submits.facts(connection, candidates, day=locked[candidates[0].tenant_id].today)
    for candidate, facts in zip(candidates, found, strict=True):
        ledger = ledgers.get(candidate.tenant_id)
        if ledger is None:
            ledger = ledgers[candidate.tenant_id] = Ledger(locked[candidate.tenant_id], facts.images_today)
        verdicts.append(ledger.decide(candidate, facts))
    return verdicts
