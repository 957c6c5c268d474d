"""What happened to a job: from our own table where it is whole, from the scheduler where it is not."""

from uuid import UUID

from chassis.database.postgres import is_away
from chassis.messaging import streams
from chassis.messaging.bus import Bus
from chassis.telemetry.logs import log
from contracts.executor import PROGRESS
from contracts.registry import JOB_PROGRESS
from contracts.scheduler import READ_JOB, STATUS, Job, JobEvent, JobRead, JobStatus, ReadJob
from notifier.store.events import Events


class History:
    """Answers for one job at a time. The scheduler is the truth, and the judge of whose job it is."""

    def __init__(self, bus: Bus, events: Events) -> None:
        self._bus, self._events = bus, events

    async def read(self, tenant: str, job_id: UUID, *, after: int | None = None) -> JobRead:
        """The job as the scheduler has it, with its events after ``after`` if given.

        Raises:
            Relayed: there is no such job of this tenant.
            Unavailable: the scheduler does not answer.
        """
        return await self._bus.request(READ_JOB, ReadJob(job_id=job_id, after=after), tenant=tenant)

    async def between(self, tenant: str, job_id: UUID, after: int, upto: int) -> list[JobEvent]:
        """Every event with ``after`` < seq <= ``upto``, in order, none missing as far as the scheduler has them."""
        if after >= upto:
            return []
        kept = await self._kept(tenant, job_id, after, upto)
        if [event.seq for event in kept] == list(range(after + 1, upto + 1)):
            return kept
        told = (await self.read(tenant, job_id, after=after)).events
        return sorted((event for event in told if after < event.seq <= upto), key=lambda event: event.seq)

    async def progress(self, job: Job) -> float:
        """The freshest progress of the job that anybody knows, percent."""
        if STATUS[job.state] is not JobStatus.PROCESSING:
            return job.progress
        subject = PROGRESS.subject(str(job.tenant_id), str(job.job_id))
        live = await streams.last(self._bus, JOB_PROGRESS, PROGRESS, subject)
        return max(job.progress, live.progress) if live and live.attempt == job.attempt else job.progress

    async def _kept(self, tenant: str, job_id: UUID, after: int, upto: int) -> list[JobEvent]:
        try:
            return await self._events.after(job_id, after, tenant_id=tenant, upto=upto)
        except Exception as error:
            if not is_away(error):
                raise
            log.warning("notifier.history.database_away", error=type(error).__name__)
            return []
