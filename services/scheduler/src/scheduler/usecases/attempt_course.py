"""How attempts go on and end. Every write is the lease holder's, or it is none."""

from chassis.logs import log
from chassis.postgres import Connection, Database
from contracts.scheduler import AttemptWritten, FinishAttempt, Outcome, StartAttempt
from scheduler.domain.settlement import NODE_LOST, Effects, cause_of, ended, is_retry
from scheduler.domain.states import Cause, is_final
from scheduler.store import attempts, tenants, transitions


class AttemptCourse:
    """Starts, finishes and reaps attempts."""

    def __init__(self, database: Database, *, max_attempts: int) -> None:
        self._database, self._max_attempts = database, max_attempts

    async def start(self, command: StartAttempt) -> AttemptWritten:
        """The node has taken the prompt. Not applied: the lease is gone, or the job has ended."""
        async with self._database.transaction() as connection:
            held = await transitions.hold_attempt(connection, command.ref)
            if held is None:
                return AttemptWritten(applied=False)
            job, _, _ = held
            now = await attempts.database_time(connection)
            await transitions.move(connection, job, Cause.STARTED, Effects(), now=now)
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
        held = await transitions.hold_attempt(connection, ref)
        if tenant is None or held is None:
            return False
        job, charged, lapsed = held
        if only_lapsed and not lapsed:
            return False
        await attempts.end(connection, ref, ending.outcome, error=ending.error, gpu_seconds=ending.gpu_seconds)
        cause = cause_of(ending.outcome, attempt=ref.attempt, max_attempts=self._max_attempts)
        if only_lapsed and cause is Cause.NODE_FAULT:
            cause = Cause.LEASE_LAPSED
        if is_final(job.state):  # cancelled meanwhile: it stays so, and is not tried again
            await transitions.settle(connection, job, ended(job, ending, Cause.CANCELLED, charged=charged))
            return True
        succeeded = cause is Cause.SUCCEEDED
        await transitions.move(
            connection,
            job,
            cause,
            ended(job, ending, cause, charged=charged),
            now=tenant.now,
            outputs=ending.outputs if succeeded else (),
            error=None if succeeded or is_retry(cause) else ending.error,
        )
        return True
