"""Decides groups of submissions and inserts the accepted jobs (decision record 0063)."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from chassis.database.postgres import UNAVAILABLE_ERRORS, Database
from chassis.database.statement import Connection
from chassis.messaging.deadlines import RequestExpired, has_passed
from chassis.telemetry.logs import log
from contracts.auth.accounts import UnknownTenant
from contracts.scheduler.submissions import IdempotencyKeyOfPurgedJob, SubmitReply
from contracts.wire.errors import Refusal
from scheduler.domain.admission import (
    AcceptedJob,
    DailyImageUse,
    Decision,
    ExistingJob,
    PendingSubmission,
    ReplayedJob,
    TenantAdmission,
    TenantAllowance,
)
from scheduler.domain.job import JobSnapshot, build_public_job
from scheduler.domain.waiting import TenantFacts
from scheduler.store import jobs, submits, tenants
from scheduler.usecases.learn_run_times import RunTimeLearner
from scheduler.usecases.read_job import DescribedJob, JobReader
from scheduler.usecases.submit_groups import Answer


class _AdmittedJob(NamedTuple):
    """A job that was accepted, now or before.

    Attributes:
        tenant: its tenant after the insertion; None if the job was accepted before.
    """

    decision: AcceptedJob | ReplayedJob
    snapshot: JobSnapshot
    tenant: TenantFacts | None = None


class JobAdmission:
    """Decides a group of submissions, without locks if possible.

    One statement inserts the accepted jobs, unless the row of one of their tenants has changed since it was read. In
    that case the group is decided again under the locks of its tenants.
    """

    def __init__(self, database: Database, reader: JobReader, learner: RunTimeLearner) -> None:
        self._database, self._reader, self._learner = database, reader, learner

    async def decide_group(self, submissions: Sequence[PendingSubmission], wait_for_locks: bool) -> list[Answer | None]:
        """Return the committed decision on each submission, in order.

        A decision is None if another transaction has locked the tenant or its quota group, unless ``wait_for_locks``.
        It is ``RequestExpired`` if the deadline passed while the submission waited for the lock.
        """
        refreshing = asyncio.create_task(self._reader.refresh_estimates(), name="scheduler.refresh_estimates")
        try:
            decided: Sequence[_AdmittedJob | Refusal | None] | None = None
            if not wait_for_locks:
                decided = await self._decide_without_locks(submissions)
            if decided is None:
                decided = await self._decide_under_locks(submissions, wait_for_locks)
        finally:
            await asyncio.wait({refreshing})
        return await self._build_answers(decided, refreshing)

    async def _decide_without_locks(
        self, submissions: Sequence[PendingSubmission]
    ) -> list[_AdmittedJob | Refusal] | None:
        """Return the decisions; None if nothing was inserted because a tenant has changed or is locked."""
        async with self._database.connection() as connection:
            found = await submits.load_admission_facts(connection, submissions)
            # The version of a tenant's row does not change with the images of other tenants in its quota group.
            if len(found) < len(submissions) or any(allowance.quota_group is not None for allowance, _ in found):
                return None
            return await self._decide_and_insert(connection, submissions, found)

    async def _decide_under_locks(
        self, submissions: Sequence[PendingSubmission], wait_for_locks: bool
    ) -> list[_AdmittedJob | Refusal | None]:
        async with self._database.transaction() as connection:
            tenant_ids = {submission.tenant_id for submission in submissions}
            tenant_ids = await tenants.lock_quota_groups(connection, tenant_ids, wait_for_locks=wait_for_locks)
            locked = await tenants.lock_tenants(connection, tenant_ids, wait_for_locks=wait_for_locks)
            # The locks may have taken seconds, so some deadlines may have passed.
            deciding = [
                submission
                for submission in submissions
                if submission.tenant_id in locked and not has_passed(submission.deadline)
            ]
            decided: Sequence[_AdmittedJob | Refusal] = []
            if deciding:
                found = await submits.load_admission_facts(connection, deciding)
                decided = await self._decide_and_insert(connection, deciding, found) or []
        if_not_locked = UnknownTenant() if wait_for_locks else None
        expired = RequestExpired(service="scheduler", retry_after_s=1)
        answers = dict(zip(deciding, decided, strict=True))
        return [
            answers.get(submission, expired if submission.tenant_id in locked else if_not_locked)
            for submission in submissions
        ]

    async def _decide_and_insert(
        self,
        connection: Connection,
        submissions: Sequence[PendingSubmission],
        found: Sequence[tuple[TenantAllowance, ExistingJob | None]],
    ) -> list[_AdmittedJob | Refusal] | None:
        """Decide and insert the accepted jobs; returns None and inserts none if a tenant has changed or is locked."""
        admissions: dict[UUID, TenantAdmission] = {}  # by tenant
        group_usage: dict[UUID, DailyImageUse] = {}  # by quota group
        decisions: list[Decision] = []
        for submission, (allowance, existing) in zip(submissions, found, strict=True):
            if allowance.id not in admissions:
                images = DailyImageUse(allowance.images_today)
                if allowance.quota_group is not None:
                    images = group_usage.setdefault(allowance.quota_group, images)
                admissions[allowance.id] = TenantAdmission(allowance, images)
            decisions.append(admissions[allowance.id].decide(submission, existing))
        accepted = [decision for decision in decisions if isinstance(decision, AcceptedJob)]
        decided: dict[UUID, _AdmittedJob] = {}
        if accepted:
            tenant_ids = {decision.submission.tenant_id for decision in accepted}
            allowances = {tenant_id: admissions[tenant_id].allowance for tenant_id in tenant_ids}
            inserted = await submits.insert_jobs(connection, accepted, allowances)
            if not inserted:
                return None
            for decision, job in zip(accepted, inserted, strict=True):
                decided[decision.job_id] = _AdmittedJob(decision, decision.to_snapshot(job), job.tenant)
        replayed = {decision.job_id for decision in decisions if isinstance(decision, ReplayedJob)} - decided.keys()
        found_jobs = await jobs.find_jobs(connection, replayed) if replayed else {}
        return [
            decision if isinstance(decision, Refusal) else _find_decided(decision, decided, found_jobs)
            for decision in decisions
        ]

    async def _build_answers(
        self, decided: Sequence[_AdmittedJob | Refusal | None], refreshing: asyncio.Task[None]
    ) -> list[Answer | None]:
        """Build the answers to committed decisions, with accepted jobs as they are now.

        Args:
            refreshing: the task that read what estimates need. It has ended.
        """
        accepted = [answer for answer in decided if isinstance(answer, _AdmittedJob)]
        described = await self._describe_accepted(accepted, refreshing)
        for accepted_job, (job, estimate) in zip(accepted, described, strict=True):
            if estimate is not None and isinstance(accepted_job.decision, AcceptedJob):
                self._learner.record_estimate(job.job_id, estimate)
        jobs = iter(described)
        return [
            SubmitReply(
                job=next(jobs).job,
                replayed=isinstance(answer.decision, ReplayedJob),
                quota=answer.decision.quota,
            )
            if isinstance(answer, _AdmittedJob)
            else answer
            for answer in decided
        ]

    async def _describe_accepted(
        self, accepted: Sequence[_AdmittedJob], refreshing: asyncio.Task[None]
    ) -> Sequence[DescribedJob]:
        """Describe jobs that are committed; without estimates if the database is unavailable by now."""
        known = {job.tenant.id: job.tenant for job in accepted if job.tenant is not None}
        try:
            refreshing.result()
            return await self._reader.estimate_jobs([job.snapshot for job in accepted], known)
        except UNAVAILABLE_ERRORS as error:
            log.warning("scheduler.jobs.not_estimated", jobs=len(accepted), error=type(error).__name__)
            return [DescribedJob(build_public_job(job.snapshot)) for job in accepted]


def _find_decided(
    decision: AcceptedJob | ReplayedJob, decided: Mapping[UUID, _AdmittedJob], found_jobs: Mapping[UUID, JobSnapshot]
) -> _AdmittedJob | Refusal:
    """Return the decision with its job. A replayed job may have been accepted in the same group."""
    job_id = decision.job_id
    if job_id in decided:
        return decided[job_id]._replace(decision=decision)
    return _AdmittedJob(decision, found_jobs[job_id]) if job_id in found_jobs else IdempotencyKeyOfPurgedJob()
