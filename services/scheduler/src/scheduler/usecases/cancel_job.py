"""Cancels jobs: changes the state, then notifies the executor, which confirms the end later."""

from uuid import UUID

from chassis.database.postgres import Database
from chassis.messaging.bus import Bus
from chassis.telemetry.logs import log
from contracts.executor.attempts import CANCEL_ATTEMPT, CancelAttempt
from contracts.scheduler.jobs import CancelJob, JobState, JobWithEvents, ReadJob, UnknownJob
from scheduler.domain.settlement import TransitionEffects, compute_unstarted_end_effects
from scheduler.domain.states import Cause
from scheduler.store import attempts, tenants, transitions
from scheduler.usecases.publish_job_events import JobEventPublisher
from scheduler.usecases.read_job import JobReader


class JobCanceller:
    def __init__(self, database: Database, bus: Bus, reader: JobReader, publisher: JobEventPublisher) -> None:
        self._database, self._bus, self._reader, self._publisher = database, bus, reader, publisher

    async def cancel_job(self, tenant_id: UUID, command: CancelJob) -> JobWithEvents:
        """Cancel the job and return it. A job that has already ended stays unchanged.

        Raises:
            UnknownJob: the tenant has no job with this id.
        """
        node = None
        async with self._database.direct() as connection:
            locked_at = await tenants.lock_tenant(connection, tenant_id)
            job = await transitions.lock_job(connection, tenant_id, command.job_id)
            if locked_at is None or job is None:
                raise UnknownJob
            effects = compute_unstarted_end_effects(job) if job.state is JobState.QUEUED else TransitionEffects()
            transition = await transitions.apply_transition(connection, job, Cause.CANCELLED, effects, now=locked_at)
            if transition is not None:
                log.info("scheduler.job.cancelled", job_id=str(job.id), was=job.state)
                # A live attempt keeps its node and its slot until its executor reports the end.
                node = await attempts.find_node_of_job(connection, job.id)
        await self._publisher.publish_live_event(transition)
        if node is not None:
            hint = CancelAttempt(job_id=job.id, attempt=job.attempt)
            await self._bus.publish(CANCEL_ATTEMPT, hint, key=node)
        return await self._reader.read_job(tenant_id, ReadJob(job_id=command.job_id))
