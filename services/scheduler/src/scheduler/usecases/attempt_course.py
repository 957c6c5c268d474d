"""How attempts go on and end. Every write is the lease holder's, or it is none."""

from datetime import datetime

from chassis.logs import log
from chassis.postgres import Connection, Database
from contracts.scheduler import AttemptWritten, FinishAttempt, Outcome, StartAttempt
from scheduler.domain.job import Held
from scheduler.domain.settlement import NODE_LOST, cause_of
from scheduler.domain.states import Cause, is_final
from scheduler.store import attempts, tenants, transitions


class AttemptCourse:
    """Starts, finishes and reaps attempts."""

    def __init__(self, database: Database, *, max_attempts: int) -> None:
        self._database, self._max_attempts = database, max_attempts

    async def start(self, command: StartAttempt) -> AttemptWritten:
        """The node has taken the prompt. Not applied: the lease is gone, or the job has ended."""
        ref = command.ref
        async with self._database.transaction() as connection:
            tenant = await tenants.lock(connection, ref.tenant_id)
            job = await transitions.hold(connection, ref.tenant_id, ref.job_id)
            if tenant is None or job is None or await attempts.hold(connection, ref) is None:
                return AttemptWritten(applied=False)
            await transitions.move(connection, job, Cause.STARTED, now=tenant.now)
            return AttemptWritten(applied=not is_final(job.state))

    async def finish(self, command: FinishAttempt) -> AttemptWritten:
        """The attempt has ended on its node: settle it, and the job. May be said any number of times."""
        async with self._database.transaction() as connection:
            applied = await self._end(connection, command)
        if applied:
            log.info(
                "scheduler.attempt.ended",
                job_id=str(command.ref.job_id),
                attempt=command.ref.attempt,
                outcome=command.outcome,
            )
        return AttemptWritten(applied=applied)

    async def reap(self) -> None:
        """End every attempt whose lease has lapsed; its job runs elsewhere or fails."""
        async with self._database.transaction() as connection:
            lapsed = await attempts.lapsed(connection)
        for ref in lapsed:
            async with self._database.transaction() as connection:
                loss = FinishAttempt(ref=ref, outcome=Outcome.NODE_FAULT, error=NODE_LOST)
                if await self._end(connection, loss, only_lapsed=True):
                    log.warning("scheduler.attempt.lapsed", job_id=str(ref.job_id), attempt=ref.attempt)

    async def _end(self, connection: Connection, ending: FinishAttempt, *, only_lapsed: bool = False) -> bool:
        """End a live attempt under the locks of its tenant, its job and itself, in this order."""
        ref = ending.ref
        tenant = await tenants.lock(connection, ref.tenant_id)
        job = await transitions.hold(connection, ref.tenant_id, ref.job_id)
        charged = await attempts.hold(connection, ref)
        if tenant is None or job is None or charged is None:
            return False
        if only_lapsed and not await attempts.is_still_lapsed(connection, ref):
            return False
        await attempts.end(connection, ref, ending.outcome, error=ending.error, gpu_seconds=ending.gpu_seconds)
        await tenants.released(connection, ref.tenant_id, ending.gpu_seconds - charged)
        cause = cause_of(ending.outcome, attempt=ref.attempt, max_attempts=self._max_attempts)
        if only_lapsed and cause is Cause.NODE_FAULT:
            cause = Cause.LEASE_LAPSED
        await _settle(connection, job, ending, cause, tenant.now)
        return True


async def _settle(connection: Connection, job: Held, ending: FinishAttempt, cause: Cause, now: datetime) -> None:
    """Move the job on, and its images' charge with it. A job that has ended already stays as it is."""
    succeeded = cause is Cause.SUCCEEDED
    retried = cause in {Cause.NODE_FAULT, Cause.LEASE_LAPSED}
    await transitions.move(
        connection,
        job,
        cause,
        now=now,
        outputs=ending.outputs if succeeded else (),
        error=None if succeeded or retried else ending.error,
    )
    if retried and not is_final(job.state):
        await tenants.enqueued(connection, job.tenant_id)
        return
    made = ending.images if ending.outcome in {Outcome.SUCCEEDED, Outcome.CANCELLED} else 0
    await tenants.charge_images(connection, job.tenant_id, job.usage_day, made - job.images)
    await transitions.settle_images(connection, job.id, made)
