"""Withdraws attempts for operators. The job is queued again; the attempt costs nothing and does not count as a try."""

from chassis.database.postgres import Database
from chassis.messaging.bus import Bus
from chassis.telemetry.logs import log
from contracts.executor.attempts import CANCEL_ATTEMPT, CancelAttempt
from contracts.scheduler.attempts import AttemptRef, FinishAttempt, Outcome
from scheduler.domain.settlement import WITHDRAWN, WITHDRAWN_BY_OPERATOR, compute_end_effects
from scheduler.domain.states import Cause, is_final
from scheduler.store import attempts, tenants, transitions
from scheduler.usecases.job_metrics import JobMetrics
from scheduler.usecases.publish_job_events import JobEventPublisher


class AttemptWithdrawer:
    """Ends attempts for operators. Executors learn of it from a hint or from the reply to their next heartbeat."""

    def __init__(self, database: Database, bus: Bus, publisher: JobEventPublisher, metrics: JobMetrics) -> None:
        self._database, self._bus, self._publisher, self._metrics = database, bus, publisher, metrics

    async def withdraw_attempt(self, ref: AttemptRef) -> None:
        """End the attempt if it is live. Does nothing if its job has ended: its executor is stopping it already."""
        async with self._database.transaction() as connection:
            locked_at = await tenants.lock_tenant(connection, ref.tenant_id)
            locked = await transitions.lock_attempt(connection, ref, None)
            if locked_at is None or locked is None or is_final(locked.job.state):
                return
            await attempts.end_attempt(connection, ref, WITHDRAWN, error=WITHDRAWN_BY_OPERATOR, gpu_seconds=0)
            ending = FinishAttempt(ref=ref, outcome=Outcome.NODE_FAULT)
            effects = compute_end_effects(locked.job, ending, Cause.REQUEUED, charged_s=locked.charged_s)
            transition = await transitions.apply_transition(
                connection, locked.job, Cause.REQUEUED, effects, now=locked.now
            )
        self._metrics.count_attempt(locked.node, WITHDRAWN)
        await self._publisher.publish_live_event(transition)
        log.info("scheduler.attempt.withdrawn", job_id=str(ref.job_id), attempt=ref.attempt, node=locked.node)
        hint = CancelAttempt(job_id=ref.job_id, attempt=ref.attempt)
        await self._bus.publish(CANCEL_ATTEMPT, hint, key=locked.node)

    async def withdraw_from_drained_nodes(self) -> None:
        """Withdraw all attempts on draining nodes whose grace period is over."""
        async with self._database.transaction() as connection:
            refs = await attempts.list_attempts_to_drain(connection)
        for ref in refs:
            await self.withdraw_attempt(ref)
