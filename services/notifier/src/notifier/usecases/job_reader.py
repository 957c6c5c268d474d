"""Reads a job and its events: events from the notifier's table if they are complete there, else from the scheduler."""

from uuid import UUID

from pydantic import ValidationError

from chassis.database.postgres import is_unavailable
from chassis.messaging import streams
from chassis.messaging.bus import Bus
from chassis.telemetry.logs import log
from contracts.executor.progress import PROGRESS
from contracts.registry import JOB_PROGRESS
from contracts.scheduler.jobs import READ_JOB, STATUS_OF_STATE, Job, JobEvent, JobStatus, JobWithEvents, ReadJob
from notifier.store.events import EventStore


class JobReader:
    """Reads one job at a time. The scheduler is the source of truth and decides who owns a job."""

    def __init__(self, bus: Bus, events: EventStore) -> None:
        self._bus, self._events = bus, events

    async def read_job(self, tenant: str, job_id: UUID, *, after: int | None = None) -> JobWithEvents:
        """Return the job, with its events after ``after`` if given.

        Raises:
            Relayed: the tenant has no such job.
            Unavailable: the scheduler does not answer.
        """
        return await self._bus.request(READ_JOB, ReadJob(job_id=job_id, after=after), tenant=tenant)

    async def read_events(self, tenant: str, job_id: UUID, after: int, upto: int) -> list[JobEvent]:
        """Return the events with ``after`` < seq <= ``upto`` in order: all that the scheduler still has."""
        if after >= upto:
            return []
        stored = await self._read_stored(tenant, job_id, after, upto)
        if [event.seq for event in stored] == list(range(after + 1, upto + 1)):
            return stored
        events = (await self.read_job(tenant, job_id, after=after)).events
        return sorted((event for event in events if after < event.seq <= upto), key=lambda event: event.seq)

    async def read_progress(self, job: Job) -> float:
        """Return the latest known progress of the job, percent."""
        if STATUS_OF_STATE[job.state] is not JobStatus.PROCESSING:
            return job.progress
        subject = PROGRESS.subject(str(job.tenant_id), str(job.job_id))
        live = await streams.last(self._bus, JOB_PROGRESS, PROGRESS, subject)
        return max(job.progress, live.progress) if live and live.attempt == job.attempt else job.progress

    async def _read_stored(self, tenant: str, job_id: UUID, after: int, upto: int) -> list[JobEvent]:
        try:
            return await self._events.read_events(job_id, after, tenant_id=tenant, upto=upto)
        except ValidationError as error:  # an older release may have stored it in another form
            log.warning("notifier.history.event_unreadable", job_id=str(job_id), error=str(error))
            return []
        except Exception as error:
            if not is_unavailable(error):
                raise
            log.warning("notifier.history.database_unavailable", error=type(error).__name__)
            return []
