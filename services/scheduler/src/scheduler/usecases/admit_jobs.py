"""Groups of submits are decided under their tenants' locks, and accepted jobs are written."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from chassis.database.postgres import Database
from chassis.database.statement import Connection
from contracts.auth.accounts import UnknownTenant
from contracts.scheduler.submissions import IdempotencyKeyOfPurgedJob, SubmitReply
from contracts.wire.errors import Refusal
from scheduler.domain.admission import Accepted, Candidate, DayImages, Ledger, Replayed, Verdict
from scheduler.domain.job import JobSnapshot
from scheduler.store import jobs, submits, tenants
from scheduler.usecases.read_job import JobReader
from scheduler.usecases.submit_groups import Answer


class _Decided(NamedTuple):
    """A job that was accepted, now or before."""

    verdict: Accepted | Replayed
    snapshot: JobSnapshot


class JobAdmission:
    """Decides a group of submits in one transaction: lock the tenants, read the facts, write what is accepted."""

    def __init__(self, database: Database, reader: JobReader) -> None:
        self._database, self._reader = database, reader

    async def decide(self, candidates: Sequence[Candidate], wait_for_locks: bool) -> list[Answer | None]:
        """The committed decision on each submit, in order.

        None for submits whose tenant or quota group another transaction has locked, unless ``wait_for_locks``.
        """
        async with self._database.direct() as connection:
            tenant_ids = {one.tenant_id for one in candidates}
            tenant_ids = await tenants.lock_quota_groups(connection, tenant_ids, patient=wait_for_locks)
            locked = await tenants.lock_tenants(connection, tenant_ids, patient=wait_for_locks)
            deciding = [candidate for candidate in candidates if candidate.tenant_id in locked]
            decided = iter(await self._decided(connection, deciding) if deciding else [])
        absent = UnknownTenant() if wait_for_locks else None
        return await self._answers([next(decided) if one.tenant_id in locked else absent for one in candidates])

    async def _decided(self, connection: Connection, candidates: Sequence[Candidate]) -> list[_Decided | Refusal]:
        verdicts = await self._verdicts(connection, candidates)
        accepted = [verdict for verdict in verdicts if isinstance(verdict, Accepted)]
        if accepted:
            await submits.insert_jobs(connection, accepted)
        snapshots = {verdict.job_id: verdict.snapshot() for verdict in accepted}
        replayed = {verdict.job_id for verdict in verdicts if isinstance(verdict, Replayed)} - snapshots.keys()
        if replayed:
            snapshots |= await jobs.find_jobs(connection, replayed)
        return [_with_snapshot(verdict, snapshots) for verdict in verdicts]

    async def _verdicts(self, connection: Connection, candidates: Sequence[Candidate]) -> list[Verdict]:
        ledgers: dict[UUID, Ledger] = {}
        shared: dict[UUID, DayImages] = {}  # by quota group
        verdicts = []
        found = await submits.load_facts(connection, candidates)
        for candidate, (account, earlier, overtaken) in zip(candidates, found, strict=True):
            if account.id not in ledgers:
                group = account.quota_group
                images = shared.setdefault(group, DayImages(account.images_today)) if group is not None else None
                ledgers[account.id] = Ledger(account, images)
            verdicts.append(ledgers[account.id].decide(candidate, earlier, overtaken))
        return verdicts

    async def _answers(self, decided: Sequence[_Decided | Refusal | None]) -> list[Answer | None]:
        """The answers, once the decisions are committed: accepted jobs as they stand."""
        accepted = [one for one in decided if isinstance(one, _Decided)]
        shown = iter(await self._reader.describe_jobs([one.snapshot for one in accepted]))
        return [
            SubmitReply(job=next(shown), replayed=isinstance(one.verdict, Replayed), quota=one.verdict.quota)
            if isinstance(one, _Decided)
            else one
            for one in decided
        ]


def _with_snapshot(verdict: Verdict, snapshots: dict[UUID, JobSnapshot]) -> _Decided | Refusal:
    if isinstance(verdict, Refusal):
        return verdict
    job_id = verdict.job_id
    return _Decided(verdict, snapshots[job_id]) if job_id in snapshots else IdempotencyKeyOfPurgedJob()
