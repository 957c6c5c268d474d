"""How attempts go on and end. Every write is the lease holder's, or it is none."""

from chassis.logs import log
from chassis.postgres import Database
from chassis.statement import Connection
from contracts.scheduler import AttemptWritten, FinishAttempt, JobEvent, Outcome, StartAttempt
from scheduler.domain.settlement import NODE_LOST, Effects, cause_of, ended, is_retry
from scheduler.domain.states import Cause, is_final
from scheduler.store import attempts, tenants, transitions
from scheduler.usecases.announce import Announcer


class AttemptCourse:
    """Starts, finishes and reaps attempts."""

    def __init__(self, database: Database, announcer: Announcer, *, max_attempts: int) -> None:
        self._database, self._announcer, self._max_attempts = database, announcer, max_attempts

    async def start(self, node: str, command: StartAttempt) -> AttemptWritten:
        """The node has taken the prompt. Not applied: the lease is gone, or the job has ended."""
        async with self._database.direct() as connection:
            held = await transitions.hold_attempt(connection, command.ref, node)
            if held is None:
                return AttemptWritten(applied=False)
            event = await transitions.move(connection, held.job, Cause.STARTED, Effects(), now=held.now)
        await self._announcer.say(event)
        return AttemptWritten(applied=not is_final(held.job.state))

    async def finish(self, node: str, command: FinishAttempt) -> AttemptWritten:
        """The attempt has ended on its node: settle it, and the job. May be said any number of times."""
        async with self._database.direct() as connection:
            applied, event = await self._end(connection, command, node)
        await self._announcer.say(event)
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
        async with self._database.direct() as connection:
            lapsed = await attempts.lapsed(connection)
        for ref in lapsed:
            async with self._database.direct() as connection:
                loss = FinishAttempt(ref=ref, outcome=Outcome.NODE_FAULT, error=NODE_LOST)
                applied, event = await self._end(connection, loss, None)
            await self._announcer.say(event)
            if applied:
                log.warning("scheduler.attempt.lapsed", job_id=str(ref.job_id), attempt=ref.attempt)

    async def _end(
        self, connection: Connection, ending: FinishAttempt, node: str | None
    ) -> tuple[bool, JobEvent | None]:
        """End a live attempt under the locks of its tenant, its job and itself, in this order.

        Args:
            node: that speaks, or None for the reaper, which ends only what has lapsed.

        Returns:
            Whether it was live, and the event to announce.
        """
        ref = ending.ref
        locked_at = await tenants.lock(connection, ref.tenant_id)
        held = await transitions.hold_attempt(connection, ref, node)
        if locked_at is None or held is None or (node is None and not held.lapsed):
            return False, None
        await attempts.end(connection, ref, ending.outcome, error=ending.error, gpu_seconds=ending.gpu_seconds)
        if is_final(held.job.state):  # cancelled meanwhile: it stays so, and is not tried again
            effects = ended(held.job, ending, Cause.CANCELLED, charged=held.charged)
            await transitions.settle(connection, held.job, effects)
            return True, None
        cause = cause_of(ending.outcome, tries=held.tries, max_attempts=self._max_attempts)
        if node is None and cause is Cause.NODE_FAULT:
            cause = Cause.LEASE_LAPSED
        succeeded = cause is Cause.SUCCEEDED
        event = await transitions.move(
            connection,
            held.job,
            cause,
            ended(held.job, ending, cause, charged=held.charged),
            now=held.now,
            outputs=ending.outputs if succeeded else (),
            error=None if succeeded or is_retry(cause) else ending.error,
        )
        return True, event
