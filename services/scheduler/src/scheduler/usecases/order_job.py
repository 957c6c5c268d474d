"""Operators order something of somebody's job."""

import hashlib
from typing import assert_never
from uuid import UUID

from chassis.database.postgres import Database
from chassis.database.statement import Connection
from chassis.telemetry.logs import log
from contracts.scheduler.job_actions import JobAction, JobHasEnded, JobNotRepeatable, JobNotWaiting, RunJobAction
from contracts.scheduler.jobs import CancelJob, Job, JobEvent, JobState, ReadJob, UnknownJob
from contracts.scheduler.submissions import SubmitJob
from contracts.wire.errors import InvalidMessage
from scheduler.domain.job import LockedJob
from scheduler.domain.settlement import HOLD, RELEASE
from scheduler.domain.states import Cause, is_final
from scheduler.store import attempts, search, tenants, transitions
from scheduler.usecases.announce import Announcer
from scheduler.usecases.cancel_job import JobCanceller
from scheduler.usecases.read_job import JobReader
from scheduler.usecases.submit_job import JobSubmitter
from scheduler.usecases.withdraw_attempts import Withdrawals


class AdminJobActions:
    """Carries out orders. Each is so afterwards, whether by this order or before."""

    def __init__(
        self,
        database: Database,
        announcer: Announcer,
        *,
        reader: JobReader,
        canceller: JobCanceller,
        submitter: JobSubmitter,
        withdrawals: Withdrawals,
    ) -> None:
        self._database, self._announcer, self._reader = database, announcer, reader
        self._canceller, self._submitter, self._withdrawals = canceller, submitter, withdrawals

    async def order(self, command: RunJobAction) -> Job:
        """The job as it stands then, or the new one that runs it again.

        Raises:
            UnknownJob: there is none of that id.
            JobHasEnded, JobNotWaiting, JobNotRepeatable: it is not where this order could mean something.
            QuotaExceeded, QueueFull, InvalidWorkflow: its owner could not submit it again either.
        """
        async with self._database.single() as connection:
            tenant_id = await search.owner(connection, command.job_id)
        if tenant_id is None:
            raise UnknownJob
        log.info("scheduler.job.ordered", job_id=str(command.job_id), order=command.order)
        match command.order:
            case JobAction.CANCEL:
                return (await self._canceller.cancel(tenant_id, CancelJob(job_id=command.job_id))).job
            case JobAction.REQUEUE:
                return await self._requeue(tenant_id, command)
            case JobAction.HOLD | JobAction.RELEASE | JobAction.PRIORITISE:
                await self._change(tenant_id, command)
                return await self._read(tenant_id, command.job_id)
            case _:
                assert_never(command.order)

    async def _change(self, tenant_id: UUID, command: RunJobAction) -> None:
        """Change a job that has not ended, under the locks of its tenant and itself."""
        async with self._database.direct() as connection:
            locked_at = await tenants.lock(connection, tenant_id)
            job = await transitions.hold(connection, tenant_id, command.job_id)
            if locked_at is None or job is None:
                raise UnknownJob
            if is_final(job.state):
                raise JobHasEnded(state=job.state)
            event: JobEvent | None = None
            if command.order is JobAction.PRIORITISE:
                await self._prioritise(connection, job, command)
            elif command.order is JobAction.HOLD and job.state is not JobState.QUEUED:
                raise JobNotWaiting(state=job.state)
            elif command.order is JobAction.HOLD and not job.on_hold:
                event = await transitions.move(connection, job, Cause.HELD, HOLD, now=locked_at)
            elif command.order is JobAction.RELEASE and job.on_hold:
                event = await transitions.move(connection, job, Cause.RELEASED, RELEASE, now=locked_at)
        await self._announcer.say(event)

    async def _prioritise(self, connection: Connection, job: LockedJob, command: RunJobAction) -> None:
        if command.priority is None:
            raise InvalidMessage
        await search.prioritise(connection, job.id, command.priority)

    async def _requeue(self, tenant_id: UUID, command: RunJobAction) -> Job:
        job = await self._read(tenant_id, command.job_id)
        match job.state:
            case JobState.QUEUED:
                return job
            case JobState.LEASED | JobState.RUNNING:
                async with self._database.single() as connection:
                    live = await attempts.live_of(connection, job.job_id)
                if live is not None:
                    await self._withdrawals.withdraw(live)
                return await self._read(tenant_id, command.job_id)
            case JobState.FAILED | JobState.EXPIRED:
                return await self._retry(tenant_id, command)
            case JobState.SUCCEEDED | JobState.CANCELLED:
                raise JobNotRepeatable(state=job.state)
            case _:
                assert_never(job.state)

    async def _retry(self, tenant_id: UUID, command: RunJobAction) -> Job:
        """Submit it again for its owner, under the owner's limits; each failed job once."""
        async with self._database.single() as connection:
            found = await search.repeatable(connection, tenant_id, command.job_id)
        if found is None:
            raise UnknownJob
        if command.retry_id is None:
            raise InvalidMessage
        again = SubmitJob(
            **found,
            job_id=command.retry_id,
            retry_of=command.job_id,
            idempotency_key=f"retry {command.job_id}",  # with a space in it: no client can mean this one
            request_hash=hashlib.sha256(command.job_id.bytes).hexdigest(),
        )
        return (await self._submitter.submit(tenant_id, again)).job

    async def _read(self, tenant_id: UUID, job_id: UUID) -> Job:
        return (await self._reader.read(tenant_id, ReadJob(job_id=job_id))).job
