"""An operator takes an attempt from its node: its job waits again, at no cost and as no try of its own."""

from chassis.database.postgres import Database
from chassis.messaging.bus import Bus
from chassis.telemetry.logs import log
from contracts.executor.attempts import CANCEL_ATTEMPT, CancelAttempt
from contracts.scheduler.attempts import AttemptRef, FinishAttempt, Outcome
from scheduler.domain.settlement import TAKEN_AWAY, WITHDRAWN, ended
from scheduler.domain.states import Cause, is_final
from scheduler.store import attempts, tenants, transitions
from scheduler.usecases.announce import Announcer


class Withdrawals:
    """Ends attempts for operators. Their executors learn it by a hint, or by the next heartbeat's answer."""

    def __init__(self, database: Database, bus: Bus, announcer: Announcer) -> None:
        self._database, self._bus, self._announcer = database, bus, announcer

    async def withdraw(self, ref: AttemptRef) -> None:
        """End the attempt if it still lives. One whose job has ended is left to its executor, which is stopping it."""
        async with self._database.direct() as connection:
            locked_at = await tenants.lock(connection, ref.tenant_id)
            held = await transitions.hold_attempt(connection, ref, None)
            if locked_at is None or held is None or is_final(held.job.state):
                return
            node = await attempts.node_of(connection, ref.job_id)
            await attempts.end(connection, ref, WITHDRAWN, error=TAKEN_AWAY, gpu_seconds=0)
            nothing = FinishAttempt(ref=ref, outcome=Outcome.NODE_FAULT)
            effects = ended(held.job, nothing, Cause.REQUEUED, charged=held.charged)
            event = await transitions.move(connection, held.job, Cause.REQUEUED, effects, now=held.now)
        await self._announcer.say(event)
        log.info("scheduler.attempt.withdrawn", job_id=str(ref.job_id), attempt=ref.attempt, node=node)
        if node is not None:
            await self._bus.publish(CANCEL_ATTEMPT, CancelAttempt(job_id=ref.job_id, attempt=ref.attempt), key=node)

    async def drain(self) -> None:
        """Withdraw what is left on nodes whose grace is over."""
        async with self._database.direct() as connection:
            left = await attempts.to_drain(connection)
        for ref in left:
            await self.withdraw(ref)
