"""Decides groups of submits under their tenants' locks, and writes the accepted jobs."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from chassis.database.postgres import Database
from chassis.database.statement import Connection
from contracts.auth.accounts import UnknownTenant
from contracts.scheduler.submissions import IdempotencyKeyOfPurgedJob, SubmitReply
from contracts.wire.errors import Refusal
from scheduler.domain.admission import Accepted, Candidate, DailyImages, Decision, Ledger, Replayed
from scheduler.domain.job import JobSnapshot
from scheduler.store import jobs, submits, tenants
from scheduler.usecases.read_job import JobReader
from scheduler.usecases.submit_groups import Answer


class _Decided(NamedTuple):
    """A job that was accepted, now or before."""

    decision: Accepted | Replayed
    snapshot: JobSnapshot


class JobAdmission:
    """Decides a group of submits in one transaction: lock the tenants, read the facts, write what is accepted."""

    def __init__(self, database: Database, reader: JobReader) -> None:
        self._database, self._reader = database, reader

    async def decide_group(self, candidates: Sequence[Candidate], wait_for_locks: bool) -> list[Answer | None]:
        """Decide each submit, in order, and commit.

        The answer is None for submits whose tenant or quota group another transaction has locked, unless
        ``wait_for_locks``.
        """
        async with self._database.direct() as connection:
            tenant_ids = {one.tenant_id for one in candidates}
            tenant_ids = await tenants.lock_quota_groups(connection, tenant_ids, wait_for_locks=wait_for_locks)
            locked = await tenants.lock_tenants(connection, tenant_ids, wait_for_locks=wait_for_locks)
            deciding = [candidate for candidate in candidates if candidate.tenant_id in locked]
            decided = iter(await self._decide_and_write(connection, deciding) if deciding else [])
        absent = UnknownTenant() if wait_for_locks else None
        return await self._build_answers([next(decided) if one.tenant_id in locked else absent for one in candidates])

    async def _decide_and_write(
        self, connection: Connection, candidates: Sequence[Candidate]
    ) -> list[_Decided | Refusal]:
        decisions = await self._decide_all(connection, candidates)
        accepted = [decision for decision in decisions if isinstance(decision, Accepted)]
        if accepted:
            await submits.insert_jobs(connection, accepted)
        snapshots = {decision.job_id: decision.to_snapshot() for decision in accepted}
        replayed = {decision.job_id for decision in decisions if isinstance(decision, Replayed)} - snapshots.keys()
        if replayed:
            snapshots |= await jobs.find_jobs(connection, replayed)
        return [_with_snapshot(decision, snapshots) for decision in decisions]

    async def _decide_all(self, connection: Connection, candidates: Sequence[Candidate]) -> list[Decision]:
        ledgers: dict[UUID, Ledger] = {}
        shared: dict[UUID, DailyImages] = {}  # by quota group
        decisions = []
        found = await submits.load_admission_facts(connection, candidates)
        for candidate, (account, earlier, overtaken) in zip(candidates, found, strict=True):
            if account.id not in ledgers:
                group = account.quota_group
                images = shared.setdefault(group, DailyImages(account.images_today)) if group is not None else None
                ledgers[account.id] = Ledger(account, images)
            decisions.append(ledgers[account.id].decide(candidate, earlier, overtaken))
        return decisions

    async def _build_answers(self, decided: Sequence[_Decided | Refusal | None]) -> list[Answer | None]:
        """Build the answers after the commit; accepted jobs are returned as their owner sees them."""
        accepted = [one for one in decided if isinstance(one, _Decided)]
        shown = iter(await self._reader.describe_jobs([one.snapshot for one in accepted]))
        return [
            SubmitReply(job=next(shown), replayed=isinstance(one.decision, Replayed), quota=one.decision.quota)
            if isinstance(one, _Decided)
            else one
            for one in decided
        ]


def _with_snapshot(decision: Decision, snapshots: dict[UUID, JobSnapshot]) -> _Decided | Refusal:
    if isinstance(decision, Refusal):
        return decision
    job_id = decision.job_id
    return _Decided(decision, snapshots[job_id]) if job_id in snapshots else IdempotencyKeyOfPurgedJob()
