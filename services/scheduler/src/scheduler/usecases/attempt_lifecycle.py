"""Starts and ends attempts. Requests of a node that no longer has the lease change nothing."""

from typing import NamedTuple

from chassis.database.postgres import UNAVAILABLE_ERRORS, Database
from chassis.database.statement import Connection
from chassis.telemetry.logs import log
from contracts.scheduler.attempts import AttemptRef, AttemptWriteReply, FinishAttempt, Outcome, StartAttempt
from scheduler.domain.failing_nodes import is_node_failure
from scheduler.domain.gpu_memory import GpuOutOfMemory, explain_exhausted_memory, is_out_of_memory
from scheduler.domain.settlement import (
    AVOID_NODE_S,
    JOB_POISON,
    NODE_LOST,
    OVERTIME_GRACE_S,
    RUN_TIME_EXCEEDED,
    TransitionEffects,
    apply_rule_for_no_outputs,
    causes_retry,
    compute_end_effects,
    decide_transition_cause,
    is_node_death,
    limit_gpu_seconds,
)
from scheduler.domain.states import Cause, is_final
from scheduler.store import attempts, node_failures, tenants, transitions
from scheduler.usecases.cordon_failing_nodes import FailingNodeCordon
from scheduler.usecases.fleet_state import FleetState
from scheduler.usecases.job_metrics import LAPSED, OVERTIME, JobMetrics
from scheduler.usecases.learn_run_times import FinishedRun, RunTimeLearner
from scheduler.usecases.publish_job_events import JobEventPublisher


class _EndedAttempt(NamedTuple):
    """An attempt that ended.

    Attributes:
        transition: None if its job had ended before.
        node_failed: whether the node failed while it ran the job.
        is_retry: whether it was not the first try of its job.
        run: the run to learn from; None unless the job succeeded.
    """

    node: str
    transition: transitions.Transition | None
    node_failed: bool
    is_retry: bool
    run: FinishedRun | None = None


class _MemoryPlan(NamedTuple):
    """How to continue after an attempt that ran out of memory.

    Attributes:
        requirement_id: the job's requirement, now with more GPU memory than the node has; used for the next attempt.
    """

    fault: GpuOutOfMemory
    requirement_id: int


class AttemptLifecycle:
    """Starts attempts. Ends those that their node finished, whose lease lapsed or that ran too long."""

    def __init__(
        self,
        database: Database,
        fleet: FleetState,
        publisher: JobEventPublisher,
        metrics: JobMetrics,
        learner: RunTimeLearner,
        *,
        cordon: FailingNodeCordon,
        max_attempts: int,
        lease_s: float,
    ) -> None:
        self._database, self._publisher, self._metrics, self._learner = database, publisher, metrics, learner
        self._fleet, self._cordon = fleet, cordon
        self._max_attempts, self._lease_s = max_attempts, lease_s

    async def start_attempt(self, node: str, command: StartAttempt) -> AttemptWriteReply:
        """Record that the node has accepted the prompt. Not applied if the lease is lost or the job has ended."""
        async with self._database.transaction() as connection:
            locked = await transitions.lock_attempt(connection, command.ref, node)
            if locked is None:
                return AttemptWriteReply(applied=False)
            if locked.prefetched:
                await attempts.start_prefetched(connection, command.ref)
            transition = await transitions.apply_transition(
                connection, locked.job, Cause.STARTED, TransitionEffects(), now=locked.now
            )
        ref = command.ref
        log.info("scheduler.attempt.started", job_id=str(ref.job_id), attempt=ref.attempt, node=node)
        await self._publisher.publish_live_event(transition)
        return AttemptWriteReply(applied=not is_final(locked.job.state))

    async def finish_attempt(self, node: str, command: FinishAttempt) -> AttemptWriteReply:
        """Record that the attempt has ended on its node, and settle the job. Idempotent."""
        memory = await self._plan_after_out_of_memory(command) if is_out_of_memory(command) else None
        async with self._database.transaction() as connection:
            ended = await self._end_live_attempt(connection, command, node, memory)
        if ended is not None:
            log.info(
                "scheduler.attempt.ended",
                job_id=str(command.ref.job_id),
                attempt=command.ref.attempt,
                node=node,
                outcome=command.outcome,
            )
            await self._publish_end(ended, command.outcome)
        return AttemptWriteReply(applied=ended is not None)

    async def end_lapsed_attempts(self) -> None:
        """End every attempt whose lease has lapsed. Its job is tried again or fails."""
        async with self._database.transaction() as connection:
            lapsed = await attempts.list_lapsed_attempts(connection)
        for ref in lapsed:
            async with self._database.transaction() as connection:
                ended = await self._end_lapsed_attempt(connection, ref)
            if ended is not None:
                await self._publish_end(ended, LAPSED)
                log.warning("scheduler.attempt.lapsed", job_id=str(ref.job_id), attempt=ref.attempt)

    async def end_overtime_attempts(self) -> None:
        """Fail every running job that exceeds its time limit and that its executor should have ended by now."""
        async with self._database.transaction() as connection:
            overtime = await attempts.list_overtime_attempts(connection, grace_s=OVERTIME_GRACE_S)
        for ref in overtime:
            async with self._database.transaction() as connection:
                ended = await self._fail_timed_out_attempt(connection, ref)
            if ended is not None:
                await self._publish_end(ended, OVERTIME)
                log.warning("scheduler.attempt.overdue", job_id=str(ref.job_id), attempt=ref.attempt)

    async def _publish_end(self, ended: _EndedAttempt, outcome: str) -> None:
        """After the commit, count and publish the end of an attempt, and record its run.

        Check whether to cordon its node if the node failed, or earlier nodes if a retry succeeded.
        """
        self._metrics.count_attempt(ended.node, outcome)
        if ended.run is not None:
            self._learner.record_run(ended.run)
        await self._publisher.publish_live_event(ended.transition)
        try:
            if ended.node_failed:
                await self._cordon.check_node(ended.node)
            elif ended.is_retry and ended.transition and ended.transition.event.cause == Cause.SUCCEEDED:
                await self._cordon.check_nodes_that_failed(ended.transition.event.job_id)
        except UNAVAILABLE_ERRORS as error:  # the end is committed; the node is checked again after the next failure
            log.warning("scheduler.node.not_checked", node=ended.node, error=type(error).__name__)

    async def _plan_after_out_of_memory(self, ending: FinishAttempt) -> _MemoryPlan | None:
        """Decide how to continue, before the transaction, because the fleet state needs connections of its own."""
        async with self._database.connection() as connection:
            found = await attempts.read_gpu_memory(connection, ending.ref)
        if found is None:
            return None
        fault = GpuOutOfMemory(
            node_gib=found.node_gib,
            earlier_faults=found.earlier_faults,
            has_larger_node=await self._fleet.has_larger_node(found.requirement_id, found.node_gib),
        )
        next_requirement = await self._fleet.save_larger_requirement(
            found.requirement_id, memory_over_gib=found.node_gib
        )
        return _MemoryPlan(fault, next_requirement)

    async def _end_live_attempt(
        self, connection: Connection, ending: FinishAttempt, node: str, memory: _MemoryPlan | None
    ) -> _EndedAttempt | None:
        """End a live attempt as its node reports; None if it was not live."""
        locked = await self._lock_attempt(connection, ending.ref, node)
        if locked is None:
            return None
        return await self._settle_attempt(connection, locked, ending, memory=memory)

    async def _end_lapsed_attempt(self, connection: Connection, ref: AttemptRef) -> _EndedAttempt | None:
        locked = await self._lock_attempt(connection, ref, None)
        if locked is None or not locked.lapsed:
            return None
        if locked.prefetched:  # it has not started, so it cost nothing and did not harm the node
            return await self._settle_attempt(connection, locked, FinishAttempt(ref=ref, outcome=Outcome.RELEASED))
        silence = await attempts.read_executor_silence(connection, ref, lease_s=self._lease_s)
        ending = FinishAttempt(
            ref=ref,
            outcome=Outcome.NODE_FAULT,
            error=NODE_LOST,
            gpu_seconds=silence.heard_s,
            node_died=silence.node_died,
        )
        return await self._settle_attempt(connection, locked, ending, silence=silence)

    async def _fail_timed_out_attempt(self, connection: Connection, ref: AttemptRef) -> _EndedAttempt | None:
        locked = await self._lock_attempt(connection, ref, None)
        if locked is None or is_final(locked.job.state):
            return None
        silence = await attempts.read_executor_silence(connection, ref, lease_s=self._lease_s)
        ending = FinishAttempt(ref=ref, outcome=Outcome.FAILED, error=RUN_TIME_EXCEEDED, gpu_seconds=silence.heard_s)
        return await self._settle_attempt(connection, locked, ending)

    async def _lock_attempt(
        self, connection: Connection, ref: AttemptRef, node: str | None
    ) -> transitions.LockedAttempt | None:
        """Lock the tenant, the job and the attempt, in this order; None if the attempt is not live."""
        locked_at = await tenants.lock_tenant(connection, ref.tenant_id)
        locked = await transitions.lock_attempt(connection, ref, node)
        return None if locked_at is None else locked

    async def _settle_attempt(
        self,
        connection: Connection,
        locked: transitions.LockedAttempt,
        ending: FinishAttempt,
        *,
        silence: attempts.ExecutorSilence | None = None,
        memory: _MemoryPlan | None = None,
    ) -> _EndedAttempt:
        """Record the end of an attempt and apply the transition of its job.

        Args:
            silence: set if the attempt ends because its lease lapsed.
            memory: set if the attempt ends because its node ran out of memory.
        """
        ending = _limit_charge(locked, apply_rule_for_no_outputs(locked.job, ending))
        died, failed = is_node_death(ending), is_node_failure(ending)
        await attempts.end_attempt(
            connection,
            ending.ref,
            ending.outcome,
            error=ending.error,
            gpu_seconds=ending.gpu_seconds,
            node_died=died,
            silent_boot_id=silence.boot_id if silence and died else None,
            node_failed=failed and not silence,
        )
        if failed:
            await node_failures.save_failure(connection, locked.node, ending.ref)
        if is_final(locked.job.state):  # cancelled in the meantime: the state stays, and there is no retry
            effects = compute_end_effects(locked.job, ending, Cause.CANCELLED, charged_s=locked.charged_s)
            await transitions.apply_effects(connection, locked.job, effects)
            return _EndedAttempt(locked.node, None, node_failed=failed, is_retry=locked.tries > 1)
        cause = decide_transition_cause(
            ending.outcome,
            tries=locked.tries,
            max_attempts=self._max_attempts,
            node_deaths=locked.node_deaths + died,
            failed_nodes=locked.other_failed_nodes + (failed and not silence),
            memory=memory.fault if memory else None,
        )
        error = JOB_POISON if cause is Cause.POISONED else ending.error
        if memory and causes_retry(cause):
            await attempts.set_requirement(connection, locked.job.id, memory.requirement_id)
        elif memory and error:
            error = explain_exhausted_memory(error, memory.fault)
        if cause is Cause.POISONED:
            log.warning("scheduler.job.poisoned", job_id=str(locked.job.id), attempt=ending.ref.attempt)
        if silence and cause is Cause.NODE_FAULT:
            cause = Cause.LEASE_LAPSED
        if failed and causes_retry(cause):
            await attempts.set_avoided_node(connection, ending.ref, seconds=AVOID_NODE_S)
        succeeded = cause is Cause.SUCCEEDED
        transition = await transitions.apply_transition(
            connection,
            locked.job,
            cause,
            compute_end_effects(locked.job, ending, cause, charged_s=locked.charged_s),
            now=locked.now,
            outputs=ending.outputs if succeeded else (),
            error=None if succeeded or causes_retry(cause) else error,
            warnings=ending.warnings if succeeded else (),
        )
        return _EndedAttempt(
            locked.node,
            transition,
            node_failed=failed,
            is_retry=locked.tries > 1,
            run=_build_run(locked, ending) if succeeded else None,
        )


def _limit_charge(locked: transitions.LockedAttempt, ending: FinishAttempt) -> FinishAttempt:
    limited = limit_gpu_seconds(ending, age_s=locked.age_s)
    if limited is not ending:
        log.warning("scheduler.attempt.gpu_seconds_limited", node=locked.node, reported_s=ending.gpu_seconds)
    return limited


def _build_run(locked: transitions.LockedAttempt, ending: FinishAttempt) -> FinishedRun | None:
    """Return the run of an attempt that succeeded; None if it is not known whether it had to load models."""
    if locked.loads_models is None:
        return None
    return FinishedRun(
        job_id=locked.job.id,
        node=locked.node,
        requirement_id=locked.requirement_id,
        fingerprint=locked.fingerprint,
        loads_models=locked.loads_models,
        seconds=ending.gpu_seconds,
    )
