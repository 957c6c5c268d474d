"""Groups of submits are decided, and accepted jobs are written (decision records 0024 and 0041)."""

from collections.abc import Collection, Sequence
from typing import NamedTuple
from uuid import UUID

from cachetools import LRUCache

from chassis.database.postgres import Database
from chassis.database.statement import Connection
from chassis.messaging.deadlines import RequestExpired, has_passed
from contracts.auth.accounts import UnknownTenant
from contracts.scheduler.submissions import IdempotencyKeyOfPurgedJob, SubmitReply
from contracts.wire.errors import Refusal
from scheduler.domain.admission import (
    AcceptedJob,
    Candidate,
    DailyImageUse,
    Decision,
    Ledger,
    ReplayedJob,
    TenantAllowance,
)
from scheduler.domain.job import JobSnapshot
from scheduler.store import jobs, submits, tenants
from scheduler.usecases.learn_run_times import RunTimeLearner
from scheduler.usecases.read_job import JobReader
from scheduler.usecases.submit_groups import Answer

MAX_CACHED = 10_000  # tenants


class _DecidedJob(NamedTuple):
    """A job that was accepted, now or before."""

    decision: AcceptedJob | ReplayedJob
    snapshot: JobSnapshot


class JobAdmission:
    """Decides a group of submits on cached accounts if it can, else under its tenants' locks.

    The account of a tenant is cached from one group to the next. Jobs that it accepts are written in one statement,
    which writes nothing if the account has changed since. A cached account never refuses: such a group is decided again
    under the locks.
    """

    def __init__(self, database: Database, reader: JobReader, learner: RunTimeLearner) -> None:
        self._database, self._reader, self._learner = database, reader, learner
        # An account is removed while it is used, so that nothing stale is left after an error.
        self._accounts: LRUCache[UUID, TenantAllowance] = LRUCache(maxsize=MAX_CACHED)

    async def decide_group(self, candidates: Sequence[Candidate], wait_for_locks: bool) -> list[Answer | None]:
        """Return the committed decision on each submit, in order.

        None for submits whose tenant or quota group another transaction has locked, unless ``wait_for_locks``.
        ``RequestExpired`` for those whose deadline passed while they waited for the lock.
        """
        ledgers = self._find_cached_ledgers({candidate.tenant_id for candidate in candidates})
        decisions = [ledgers[candidate.tenant_id].decide(candidate) for candidate in candidates] if ledgers else []
        accepted = [decision for decision in decisions if isinstance(decision, AcceptedJob)]
        if accepted and len(accepted) == len(candidates):
            async with self._database.single() as connection:
                made = await self._write_jobs(connection, accepted, ledgers)
            if made:
                return await self._build_answers([_DecidedJob(*one) for one in zip(accepted, made, strict=True)])
        return await self._build_answers(await self._decide_under_locks(candidates, wait_for_locks))

    async def _decide_under_locks(
        self, candidates: Sequence[Candidate], wait_for_locks: bool
    ) -> list[_DecidedJob | Refusal | None]:
        async with self._database.direct() as connection:
            whose = {one.tenant_id for one in candidates}
            whose = await tenants.lock_quota_groups(connection, whose, wait_for_locks=wait_for_locks)
            locked = await tenants.lock_tenants(connection, whose, wait_for_locks=wait_for_locks)
            # The locks may have taken seconds, so some deadlines may have passed.
            deciding = [one for one in candidates if one.tenant_id in locked and not has_passed(one.deadline)]
            decided = await self._decide_and_write(connection, deciding) if deciding else []
        absent = UnknownTenant() if wait_for_locks else None
        expired = RequestExpired(service="scheduler", retry_after_s=1)
        answers = dict(zip(deciding, decided, strict=True))
        return [answers.get(one, expired if one.tenant_id in locked else absent) for one in candidates]

    async def _decide_and_write(
        self, connection: Connection, candidates: Sequence[Candidate]
    ) -> list[_DecidedJob | Refusal]:
        ledgers: dict[UUID, Ledger] = {}
        pools: dict[UUID, DailyImageUse] = {}  # by quota group
        decisions: list[Decision] = []
        found = await submits.load_admission_facts(connection, candidates)
        for candidate, (account, earlier) in zip(candidates, found, strict=True):
            if account.id not in ledgers:
                group = account.quota_group
                shared = pools.setdefault(group, DailyImageUse(account.images_today)) if group is not None else None
                ledgers[account.id] = Ledger(account, shared)
            decisions.append(ledgers[account.id].decide(candidate, earlier))
        snapshots: dict[UUID, JobSnapshot] = {}
        accepted = [decision for decision in decisions if isinstance(decision, AcceptedJob)]
        if accepted:
            snapshots |= {one.id: one for one in await self._write_jobs(connection, accepted, ledgers)}
        replayed = {decision.job_id for decision in decisions if isinstance(decision, ReplayedJob)} - snapshots.keys()
        if replayed:
            snapshots |= await jobs.find_jobs(connection, replayed)
        return [_add_snapshot(decision, snapshots) for decision in decisions]

    async def _write_jobs(
        self, connection: Connection, accepted: Sequence[AcceptedJob], ledgers: dict[UUID, Ledger]
    ) -> list[JobSnapshot]:
        """Insert the accepted jobs and return them in order; return nothing if a cached account has changed."""
        whose = {decision.candidate.tenant_id for decision in accepted}
        written = await submits.insert_jobs(connection, accepted, {one: ledgers[one].account for one in whose})
        if not written:
            return []
        for one in whose:  # a version that is not committed matches no row
            if ledgers[one].account.quota_group is None:  # other tenants of a quota group change what it may use
                self._accounts[one] = ledgers[one].build_next_allowance(written[0].version)
        return [decision.to_snapshot(row) for decision, row in zip(accepted, written, strict=True)]

    async def _build_answers(self, decided: Sequence[_DecidedJob | Refusal | None]) -> list[Answer | None]:
        """Return the answers, once the decisions are committed: accepted jobs as they stand."""
        accepted = [one for one in decided if isinstance(one, _DecidedJob)]
        described = await self._reader.estimate_jobs([one.snapshot for one in accepted])
        for one, (job, estimate) in zip(accepted, described, strict=True):
            if estimate is not None and isinstance(one.decision, AcceptedJob):
                self._learner.record_estimate(job.job_id, estimate)
        jobs = iter(described)
        return [
            SubmitReply(job=next(jobs).job, replayed=isinstance(one.decision, ReplayedJob), quota=one.decision.quota)
            if isinstance(one, _DecidedJob)
            else one
            for one in decided
        ]

    def _find_cached_ledgers(self, whose: Collection[UUID]) -> dict[UUID, Ledger]:
        """Ledgers of all these tenants; empty if one is not cached or they were read on different days."""
        accounts = [account for one in whose if (account := self._accounts.pop(one, None))]
        if len(accounts) < len(whose) or len({account.today for account in accounts}) > 1:
            return {}
        return {account.id: Ledger(account) for account in accounts}


def _add_snapshot(decision: Decision, snapshots: dict[UUID, JobSnapshot]) -> _DecidedJob | Refusal:
    if isinstance(decision, Refusal):
        return decision
    job_id = decision.job_id
    return _DecidedJob(decision, snapshots[job_id]) if job_id in snapshots else IdempotencyKeyOfPurgedJob()
