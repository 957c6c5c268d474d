"""Groups of submits are decided, and accepted jobs are written (decision record 0063)."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

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
    Earlier,
    Ledger,
    ReplayedJob,
    TenantAllowance,
)
from scheduler.domain.job import JobSnapshot
from scheduler.domain.waiting import TenantFacts
from scheduler.store import jobs, submits, tenants
from scheduler.usecases.learn_run_times import RunTimeLearner
from scheduler.usecases.read_job import JobReader
from scheduler.usecases.submit_groups import Answer


class _DecidedJob(NamedTuple):
    """A job that was accepted, now or before.

    Attributes:
        tenant: as the statement that inserted the job left it; None if the job was accepted before.
    """

    decision: AcceptedJob | ReplayedJob
    snapshot: JobSnapshot
    tenant: TenantFacts | None = None


class JobAdmission:
    """Decides a group of submits without locks if it can, else under its tenants' locks.

    The accepted jobs are written in one statement, which writes nothing if an account has changed since it was read.
    Then the group is decided again under the locks.
    """

    def __init__(self, database: Database, reader: JobReader, learner: RunTimeLearner) -> None:
        self._database, self._reader, self._learner = database, reader, learner

    async def decide_group(self, candidates: Sequence[Candidate], wait_for_locks: bool) -> list[Answer | None]:
        """Return the committed decision on each submit, in order.

        None for submits whose tenant or quota group another transaction has locked, unless ``wait_for_locks``.
        ``RequestExpired`` for those whose deadline passed while they waited for the lock.
        """
        refreshing = asyncio.create_task(self._reader.refresh_estimates(), name="scheduler.refresh_estimates")
        try:
            decided: Sequence[_DecidedJob | Refusal | None] | None = None
            if not wait_for_locks:
                decided = await self._decide_without_locks(candidates)
            if decided is None:
                decided = await self._decide_under_locks(candidates, wait_for_locks)
        finally:
            await asyncio.wait({refreshing})
        refreshing.result()
        return await self._build_answers(decided)

    async def _decide_without_locks(self, candidates: Sequence[Candidate]) -> list[_DecidedJob | Refusal] | None:
        """Return the decisions; None if nothing was written because an account has changed or is locked."""
        async with self._database.connection() as connection:
            found = await submits.load_admission_facts(connection, candidates)
            # The version of a tenant's row does not change with the images of other tenants in its quota group.
            if len(found) < len(candidates) or any(account.quota_group is not None for account, _ in found):
                return None
            return await self._decide_and_write(connection, candidates, found)

    async def _decide_under_locks(
        self, candidates: Sequence[Candidate], wait_for_locks: bool
    ) -> list[_DecidedJob | Refusal | None]:
        async with self._database.transaction() as connection:
            whose = {one.tenant_id for one in candidates}
            whose = await tenants.lock_quota_groups(connection, whose, wait_for_locks=wait_for_locks)
            locked = await tenants.lock_tenants(connection, whose, wait_for_locks=wait_for_locks)
            # The locks may have taken seconds, so some deadlines may have passed.
            deciding = [one for one in candidates if one.tenant_id in locked and not has_passed(one.deadline)]
            decided: Sequence[_DecidedJob | Refusal] = []
            if deciding:
                found = await submits.load_admission_facts(connection, deciding)
                decided = await self._decide_and_write(connection, deciding, found) or []
        absent = UnknownTenant() if wait_for_locks else None
        expired = RequestExpired(service="scheduler", retry_after_s=1)
        answers = dict(zip(deciding, decided, strict=True))
        return [answers.get(one, expired if one.tenant_id in locked else absent) for one in candidates]

    async def _decide_and_write(
        self,
        connection: Connection,
        candidates: Sequence[Candidate],
        found: Sequence[tuple[TenantAllowance, Earlier | None]],
    ) -> list[_DecidedJob | Refusal] | None:
        """Decide and insert the accepted jobs. None, and nothing inserted, if an account has changed or is locked."""
        ledgers: dict[UUID, Ledger] = {}
        pools: dict[UUID, DailyImageUse] = {}  # by quota group
        decisions: list[Decision] = []
        for candidate, (account, earlier) in zip(candidates, found, strict=True):
            if account.id not in ledgers:
                group = account.quota_group
                shared = pools.setdefault(group, DailyImageUse(account.images_today)) if group is not None else None
                ledgers[account.id] = Ledger(account, shared)
            decisions.append(ledgers[account.id].decide(candidate, earlier))
        accepted = [decision for decision in decisions if isinstance(decision, AcceptedJob)]
        decided: dict[UUID, _DecidedJob] = {}
        if accepted:
            whose = {decision.candidate.tenant_id for decision in accepted}
            written = await submits.insert_jobs(connection, accepted, {one: ledgers[one].account for one in whose})
            if not written:
                return None
            for decision, row in zip(accepted, written, strict=True):
                decided[decision.job_id] = _DecidedJob(decision, decision.to_snapshot(row), row.tenant)
        replayed = {decision.job_id for decision in decisions if isinstance(decision, ReplayedJob)} - decided.keys()
        found_jobs = await jobs.find_jobs(connection, replayed) if replayed else {}
        return [
            decision if isinstance(decision, Refusal) else _find_decided(decision, decided, found_jobs)
            for decision in decisions
        ]

    async def _build_answers(self, decided: Sequence[_DecidedJob | Refusal | None]) -> list[Answer | None]:
        """Return the answers, once the decisions are committed: accepted jobs as they stand."""
        accepted = [one for one in decided if isinstance(one, _DecidedJob)]
        known = {one.tenant.id: one.tenant for one in accepted if one.tenant is not None}
        described = await self._reader.estimate_jobs([one.snapshot for one in accepted], known)
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


def _find_decided(
    decision: AcceptedJob | ReplayedJob, decided: Mapping[UUID, _DecidedJob], found_jobs: Mapping[UUID, JobSnapshot]
) -> _DecidedJob | Refusal:
    """Return the decision with its job. A job that is replayed may have been accepted in the same group."""
    job_id = decision.job_id
    if job_id in decided:
        return decided[job_id]._replace(decision=decision)
    return _DecidedJob(decision, found_jobs[job_id]) if job_id in found_jobs else IdempotencyKeyOfPurgedJob()
