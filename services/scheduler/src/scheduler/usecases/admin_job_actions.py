"""Actions of operators on a job: cancel, requeue, hold, release, set the priority."""

import hashlib
from typing import assert_never
from uuid import UUID

from chassis.database.postgres import Database
from chassis.database.statement import Connection
from chassis.telemetry.logs import log
from contracts.scheduler.job_actions import JobAction, JobHasEnded, JobNotRepeatable, JobNotWaiting, RunJobAction
from contracts.scheduler.jobs import CancelJob, Job, JobState, ReadJob, UnknownJob
from contracts.scheduler.submissions import SubmitJob
from contracts.wire.errors import InvalidMessage
from scheduler.domain.job import LockedJob
from scheduler.domain.settlement import HOLD_EFFECTS, RELEASE_EFFECTS
from scheduler.domain.states import Cause, is_final
from scheduler.store import attempts, search, tenants, transitions
from scheduler.usecases.cancel_job import JobCanceller
from scheduler.usecases.publish_job_events import JobEventPublisher
from scheduler.usecases.read_job import JobReader
from scheduler.usecases.submit_job import JobSubmitter
from scheduler.usecases.withdraw_attempts import AttemptWithdrawer


class AdminJobActions:
    """Runs operators' actions on jobs of any tenant. Repeating an action changes nothing more."""

    def __init__(
        self,
        database: Database,
        publisher: JobEventPublisher,
        *,
        reader: JobReader,
        canceller: JobCanceller,
        submitter: JobSubmitter,
        withdrawer: AttemptWithdrawer,
    ) -> None:
        self._database, self._publisher, self._reader = database, publisher, reader
        self._canceller, self._submitter, self._withdrawer = canceller, submitter, withdrawer

    async def run_action(self, command: RunJobAction) -> Job:
        """Run the action and return the job; if a failed or expired job is requeued, the new job.

        Raises:
            UnknownJob: there is no job with this id.
            JobHasEnded: a job to hold, release or prioritise has ended.
            JobNotWaiting: a job to hold has left the queue.
            JobNotRepeatable: a job to requeue has succeeded or was cancelled.
            InvalidMessage: the command lacks the priority, or the id of the new job.
            Refusal: a new job is refused, for the same reasons as in ``JobSubmitter.submit_job``.
        """
        async with self._database.connection() as connection:
            tenant_id = await search.find_owner(connection, command.job_id)
        if tenant_id is None:
            raise UnknownJob
        log.info("scheduler.job.admin_action", job_id=str(command.job_id), action=command.order)
        match command.order:
            case JobAction.CANCEL:
                return (await self._canceller.cancel_job(tenant_id, CancelJob(job_id=command.job_id))).job
            case JobAction.REQUEUE:
                return await self._requeue_job(tenant_id, command)
            case JobAction.HOLD | JobAction.RELEASE | JobAction.PRIORITISE:
                await self._change_unfinished_job(tenant_id, command)
                return await self._read_job(tenant_id, command.job_id)
            case _:
                assert_never(command.order)

    async def _change_unfinished_job(self, tenant_id: UUID, command: RunJobAction) -> None:
        """Hold, release or prioritise a job that has not ended, under the locks of tenant and job."""
        async with self._database.transaction() as connection:
            locked_at = await tenants.lock_tenant(connection, tenant_id)
            job = await transitions.lock_job(connection, tenant_id, command.job_id)
            if locked_at is None or job is None:
                raise UnknownJob
            if is_final(job.state):
                raise JobHasEnded(state=job.state)
            transition: transitions.Transition | None = None
            if command.order is JobAction.PRIORITISE:
                await self._set_priority(connection, job, command)
            elif command.order is JobAction.HOLD and job.state is not JobState.QUEUED:
                raise JobNotWaiting(state=job.state)
            elif command.order is JobAction.HOLD and not job.on_hold:
                transition = await transitions.apply_transition(
                    connection, job, Cause.HELD, HOLD_EFFECTS, now=locked_at
                )
            elif command.order is JobAction.RELEASE and job.on_hold:
                transition = await transitions.apply_transition(
                    connection, job, Cause.RELEASED, RELEASE_EFFECTS, now=locked_at
                )
        await self._publisher.publish_live_event(transition)

    async def _set_priority(self, connection: Connection, job: LockedJob, command: RunJobAction) -> None:
        if command.priority is None:
            raise InvalidMessage
        await search.set_priority(connection, job.id, command.priority)

    async def _requeue_job(self, tenant_id: UUID, command: RunJobAction) -> Job:
        job = await self._read_job(tenant_id, command.job_id)
        match job.state:
            case JobState.QUEUED:
                return job
            case JobState.LEASED | JobState.RUNNING:
                async with self._database.connection() as connection:
                    live = await attempts.find_live_attempt_of_job(connection, job.job_id)
                if live is not None:
                    await self._withdrawer.withdraw_attempt(live)
                return await self._read_job(tenant_id, command.job_id)
            case JobState.FAILED | JobState.EXPIRED:
                return await self._submit_again(tenant_id, command)
            case JobState.SUCCEEDED | JobState.CANCELLED:
                raise JobNotRepeatable(state=job.state)
            case _:
                assert_never(job.state)

    async def _submit_again(self, tenant_id: UUID, command: RunJobAction) -> Job:
        """Submit an ended job again for its owner, under the owner's limits. Repeated requests return one new job."""
        async with self._database.connection() as connection:
            found = await search.load_for_retry(connection, tenant_id, command.job_id)
        if found is None:
            raise UnknownJob
        if command.retry_id is None:
            raise InvalidMessage
        resubmission = SubmitJob(
            **found,
            job_id=command.retry_id,
            retry_of=command.job_id,
            idempotency_key=f"retry {command.job_id}",  # contains a space, which clients cannot send
            request_hash=hashlib.sha256(command.job_id.bytes).hexdigest(),
        )
        return (await self._submitter.submit_job(tenant_id, resubmission)).job

    async def _read_job(self, tenant_id: UUID, job_id: UUID) -> Job:
        return (await self._reader.read_job(tenant_id, ReadJob(job_id=job_id))).job
