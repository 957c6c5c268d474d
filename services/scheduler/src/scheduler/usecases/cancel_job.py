"""A job is ended by its owner: first the state, then the effect on the node, then its confirmation."""

from uuid import UUID

from chassis.database.postgres import Database
from chassis.messaging.bus import Bus
from chassis.telemetry.logs import log
from contracts.executor.attempts import CANCEL_ATTEMPT, CancelAttempt
from contracts.scheduler.jobs import CancelJob, JobState, JobWithEvents, ReadJob, UnknownJob
from scheduler.domain.settlement import Effects, never_ran
from scheduler.domain.states import Cause
from scheduler.store import attempts, tenants, transitions
from scheduler.usecases.announce import Announcer
from scheduler.usecases.read_job import JobReader


class JobCanceller:
    """Ends jobs on request."""

    def __init__(self, database: Database, bus: Bus, reader: JobReader, announcer: Announcer) -> None:
        self._database, self._bus, self._reader, self._announcer = database, bus, reader, announcer

    async def cancel(self, tenant_id: UUID, command: CancelJob) -> JobWithEvents:
        """The job as it ended, whoever won the race. A job that has ended before stays as it is.

        Raises:
            UnknownJob: the tenant has none of that id.
        """
        node = None
        async with self._database.direct() as connection:
            locked_at = await tenants.lock(connection, tenant_id)
            job = await transitions.hold(connection, tenant_id, command.job_id)
            if locked_at is None or job is None:
                raise UnknownJob
            effects = never_ran(job) if job.state is JobState.QUEUED else Effects()
            event = await transitions.move(connection, job, Cause.CANCELLED, effects, now=locked_at)
            if event is not None:
                log.info("scheduler.job.cancelled", job_id=str(job.id), was=job.state)
                # A live attempt goes on holding its node and its slot until its executor says that it is over.
                node = await attempts.node_of(connection, job.id)
        await self._announcer.say(event)
        if node is not None:
            hint = CancelAttempt(job_id=job.id, attempt=job.attempt)
            await self._bus.publish(CANCEL_ATTEMPT, hint, key=node)
        return await self._reader.read(tenant_id, ReadJob(job_id=command.job_id))
