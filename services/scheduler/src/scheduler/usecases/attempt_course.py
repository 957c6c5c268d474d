"""How attempts go on and end. Every write is the lease holder's, or it is none."""

from chassis.database.postgres import Database
from chassis.database.statement import Connection
from chassis.telemetry.logs import log
from contracts.scheduler.attempts import AttemptRef, AttemptWriteReply, FinishAttempt, Outcome, StartAttempt
from contracts.scheduler.jobs import JobEvent
from scheduler.domain.settlement import (
    ELSEWHERE_FIRST_S,
    JOB_POISON,
    NODE_LOST,
    OVERTIME_GRACE_S,
    RUN_TIME_EXCEEDED,
    Effects,
    cause_of,
    ended,
    is_node_death,
    is_retry,
    judged_by_outputs,
)
from scheduler.domain.states import Cause, is_final
from scheduler.store import attempts, tenants, transitions
from scheduler.usecases.announce import Announcer


class AttemptLifecycle:
    """Starts, finishes and reaps attempts."""

    def __init__(self, database: Database, announcer: Announcer, *, max_attempts: int, lease_s: float) -> None:
        self._database, self._announcer = database, announcer
        self._max_attempts, self._lease_s = max_attempts, lease_s

    async def start(self, node: str, command: StartAttempt) -> AttemptWriteReply:
        """The node has taken the prompt. Not applied: the lease is gone, or the job has ended."""
        async with self._database.direct() as connection:
            held = await transitions.hold_attempt(connection, command.ref, node)
            if held is None:
                return AttemptWriteReply(applied=False)
            event = await transitions.move(connection, held.job, Cause.STARTED, Effects(), now=held.now)
        await self._announcer.say(event)
        return AttemptWriteReply(applied=not is_final(held.job.state))

    async def finish(self, node: str, command: FinishAttempt) -> AttemptWriteReply:
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
        return AttemptWriteReply(applied=applied)

    async def reap(self) -> None:
        """End every attempt whose lease has lapsed; its job runs elsewhere or fails."""
        async with self._database.direct() as connection:
            lapsed = await attempts.lapsed(connection)
        for ref in lapsed:
            async with self._database.direct() as connection:
                applied, event = await self._end_lapsed(connection, ref)
            await self._announcer.say(event)
            if applied:
                log.warning("scheduler.attempt.lapsed", job_id=str(ref.job_id), attempt=ref.attempt)

    async def end_overdue(self) -> None:
        """Fail every job that runs for longer than it may and whose executor should have ended it by now."""
        async with self._database.direct() as connection:
            overdue = await attempts.overdue(connection, grace_s=OVERTIME_GRACE_S)
        for ref in overdue:
            async with self._database.direct() as connection:
                applied, event = await self._end_overdue(connection, ref)
            await self._announcer.say(event)
            if applied:
                log.warning("scheduler.attempt.overdue", job_id=str(ref.job_id), attempt=ref.attempt)

    async def _end(self, connection: Connection, ending: FinishAttempt, node: str) -> tuple[bool, JobEvent | None]:
        """End a live attempt as its node says. Whether it was live, and the event to announce."""
        held = await self._hold(connection, ending.ref, node)
        if held is None:
            return False, None
        return True, await self._settle(connection, held, ending)

    async def _end_lapsed(self, connection: Connection, ref: AttemptRef) -> tuple[bool, JobEvent | None]:
        held = await self._hold(connection, ref, None)
        if held is None or not held.lapsed:
            return False, None
        silence = await attempts.silence(connection, ref, lease_s=self._lease_s)
        ending = FinishAttempt(
            ref=ref,
            outcome=Outcome.NODE_FAULT,
            error=NODE_LOST,
            gpu_seconds=silence.heard_s,
            node_died=silence.node_died,
        )
        return True, await self._settle(connection, held, ending, lapsed=silence)

    async def _end_overdue(self, connection: Connection, ref: AttemptRef) -> tuple[bool, JobEvent | None]:
        held = await self._hold(connection, ref, None)
        if held is None or is_final(held.job.state):
            return False, None
        silence = await attempts.silence(connection, ref, lease_s=self._lease_s)
        ending = FinishAttempt(ref=ref, outcome=Outcome.FAILED, error=RUN_TIME_EXCEEDED, gpu_seconds=silence.heard_s)
        return True, await self._settle(connection, held, ending)

    async def _hold(self, connection: Connection, ref: AttemptRef, node: str | None) -> transitions.HeldAttempt | None:
        """Take the locks of an attempt's tenant, its job and itself, in this order; None where it is not live."""
        locked_at = await tenants.lock(connection, ref.tenant_id)
        held = await transitions.hold_attempt(connection, ref, node)
        return None if locked_at is None else held

    async def _settle(
        self,
        connection: Connection,
        held: transitions.HeldAttempt,
        ending: FinishAttempt,
        *,
        lapsed: attempts.Silence | None = None,
    ) -> JobEvent | None:
        """Write how an attempt ended and what follows for its job.

        Args:
            lapsed: what is known of the silence, where the lease lapsed.
        """
        ending = judged_by_outputs(held.job, ending)
        died = is_node_death(ending)
        await attempts.end(
            connection,
            ending.ref,
            ending.outcome,
            error=ending.error,
            gpu_seconds=ending.gpu_seconds,
            node_died=died,
            silent_boot_id=lapsed.boot_id if lapsed and died else None,
        )
        if is_final(held.job.state):  # cancelled meanwhile: it stays so, and is not tried again
            effects = ended(held.job, ending, Cause.CANCELLED, charged=held.charged)
            await transitions.settle(connection, held.job, effects)
            return None
        cause = cause_of(
            ending.outcome,
            tries=held.tries,
            max_attempts=self._max_attempts,
            node_deaths=held.node_deaths + died,
        )
        error = JOB_POISON if cause is Cause.POISONED else ending.error
        if cause is Cause.POISONED:
            log.warning("scheduler.job.poisoned", job_id=str(held.job.id), attempt=ending.ref.attempt)
        if lapsed and cause is Cause.NODE_FAULT:
            cause = Cause.LEASE_LAPSED
        if died and is_retry(cause):
            await attempts.keep_away(connection, ending.ref, seconds=ELSEWHERE_FIRST_S)
        succeeded = cause is Cause.SUCCEEDED
        return await transitions.move(
            connection,
            held.job,
            cause,
            ended(held.job, ending, cause, charged=held.charged),
            now=held.now,
            outputs=ending.outputs if succeeded else (),
            error=None if succeeded or is_retry(cause) else error,
            warnings=ending.warnings if succeeded else (),
        )
