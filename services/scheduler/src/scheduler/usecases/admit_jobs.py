"""Groups of submits are decided, and what is accepted is written (decision record 0024)."""

from collections.abc import Collection, Sequence
from typing import NamedTuple
from uuid import UUID

from cachetools import LRUCache

from chassis.database.postgres import Database
from chassis.database.statement import Connection
from contracts.auth.accounts import UnknownTenant
from contracts.scheduler.submissions import IdempotencyKeyOfPurgedJob, SubmitReply
from contracts.wire.errors import Refusal
from scheduler.domain.admission import Accepted, Account, Candidate, DayImages, Ledger, Replayed, Verdict
from scheduler.domain.job import JobSnapshot
from scheduler.store import jobs, submits, tenants
from scheduler.usecases.read_job import JobReader
from scheduler.usecases.submit_groups import Answer

KNOWN = 10_000  # tenants


class _Decided(NamedTuple):
    """A job that was accepted, now or before."""

    verdict: Accepted | Replayed
    snapshot: JobSnapshot


class JobAdmission:
    """Decides a group of submits at once where it can, else under its tenants' locks.

    The account of a tenant is remembered from one group to the next. What it accepts is written in one statement, which
    does nothing if the account is true no longer. What it would refuse is decided anew: only what was read under the
    lock refuses anybody.
    """

    def __init__(self, database: Database, reader: JobReader) -> None:
        self._database, self._reader = database, reader
        # Taken out while it is used: whoever fails has forgotten.
        self._known: LRUCache[UUID, Account] = LRUCache(maxsize=KNOWN)

    async def decide(self, candidates: Sequence[Candidate], patient: bool) -> list[Answer | None]:
        """The committed decision on each, in order.

        None for those whose tenant or quota group is locked by somebody else, unless there is patience to wait.
        """
        ledgers = self._remembered({candidate.tenant_id for candidate in candidates})
        verdicts = [ledgers[candidate.tenant_id].decide(candidate) for candidate in candidates] if ledgers else []
        accepted = [verdict for verdict in verdicts if isinstance(verdict, Accepted)]
        if accepted and len(accepted) == len(candidates):
            async with self._database.single() as connection:
                made = await self._write(connection, accepted, ledgers)
            if made:
                return await self._answers([_Decided(*one) for one in zip(accepted, made, strict=True)])
        return await self._answers(await self._decide_under_locks(candidates, patient))

    async def _decide_under_locks(
        self, candidates: Sequence[Candidate], patient: bool
    ) -> list[_Decided | Refusal | None]:
        async with self._database.direct() as connection:
            whose = {one.tenant_id for one in candidates}
            whose = await tenants.lock_quota_groups(connection, whose, patient=patient)
            locked = await tenants.lock_tenants(connection, whose, patient=patient)
            deciding = [candidate for candidate in candidates if candidate.tenant_id in locked]
            decided = iter(await self._decided(connection, deciding) if deciding else [])
        absent = UnknownTenant() if patient else None
        return [next(decided) if candidate.tenant_id in locked else absent for candidate in candidates]

    async def _decided(self, connection: Connection, candidates: Sequence[Candidate]) -> list[_Decided | Refusal]:
        ledgers: dict[UUID, Ledger] = {}
        pools: dict[UUID, DayImages] = {}  # by quota group
        verdicts: list[Verdict] = []
        found = await submits.load_facts(connection, candidates)
        for candidate, (account, earlier) in zip(candidates, found, strict=True):
            if account.id not in ledgers:
                group = account.quota_group
                shared = pools.setdefault(group, DayImages(account.images_today)) if group is not None else None
                ledgers[account.id] = Ledger(account, shared)
            verdicts.append(ledgers[account.id].decide(candidate, earlier))
        snapshots: dict[UUID, JobSnapshot] = {}
        accepted = [verdict for verdict in verdicts if isinstance(verdict, Accepted)]
        if accepted:
            snapshots |= {one.id: one for one in await self._write(connection, accepted, ledgers)}
        replayed = {verdict.job_id for verdict in verdicts if isinstance(verdict, Replayed)} - snapshots.keys()
        if replayed:
            snapshots |= await jobs.find_jobs(connection, replayed)
        return [_with_standing(verdict, snapshots) for verdict in verdicts]

    async def _write(
        self, connection: Connection, accepted: Sequence[Accepted], ledgers: dict[UUID, Ledger]
    ) -> list[JobSnapshot]:
        """The jobs as they were written, in order; none if nothing was, which under their tenants' locks cannot be."""
        whose = {verdict.candidate.tenant_id for verdict in accepted}
        written = await submits.insert_jobs(connection, accepted, {one: ledgers[one].account for one in whose})
        if not written:
            return []
        for one in whose:  # if this is not committed, no row will ever be of that version
            if ledgers[one].account.quota_group is None:  # else others change what it may use
                self._known[one] = ledgers[one].closed(written[0].version)
        return [verdict.snapshot(row) for verdict, row in zip(accepted, written, strict=True)]

    async def _answers(self, decided: Sequence[_Decided | Refusal | None]) -> list[Answer | None]:
        """What is answered once the decisions are committed: accepted jobs as they stand."""
        accepted = [one for one in decided if isinstance(one, _Decided)]
        jobs = iter(await self._reader.describe_jobs([one.snapshot for one in accepted]))
        return [
            SubmitReply(job=next(jobs), replayed=isinstance(one.verdict, Replayed), quota=one.verdict.quota)
            if isinstance(one, _Decided)
            else one
            for one in decided
        ]

    def _remembered(self, whose: Collection[UUID]) -> dict[UUID, Ledger]:
        """Ledgers of all these tenants, read on one day; none if one is not known."""
        accounts = [account for one in whose if (account := self._known.pop(one, None))]
        if len(accounts) < len(whose) or len({account.today for account in accounts}) > 1:
            return {}
        return {account.id: Ledger(account) for account in accounts}


def _with_standing(verdict: Verdict, snapshots: dict[UUID, JobSnapshot]) -> _Decided | Refusal:
    if isinstance(verdict, Refusal):
        return verdict
    job_id = verdict.job_id
    return _Decided(verdict, snapshots[job_id]) if job_id in snapshots else IdempotencyKeyOfPurgedJob()
