"""How a tenant's job stands."""

from uuid import UUID

from chassis.messaging import streams
from chassis.messaging.bus import Bus
from contracts.executor.progress import PROGRESS
from contracts.registry import JOB_PROGRESS
from contracts.scheduler.jobs import (
    CANCEL_JOB,
    READ_JOB,
    STATUS_OF_STATE,
    CancelJob,
    Job,
    JobStatus,
    JobWithEvents,
    ReadJob,
    UnknownJob,
)
from contracts.scheduler.purges import PURGE_JOB, PurgeJob


def job_id_of(text: str) -> UUID:
    """The id in a path.

    Raises:
        UnknownJob: it is none; a malformed id is answered like one that nobody has.
    """
    try:
        job_id = UUID(text)
    except ValueError:
        raise UnknownJob from None
    if str(job_id) != text:
        raise UnknownJob
    return job_id


async def read_job(text: str, *, tenant: str, bus: Bus) -> Job:
    """The job, with the freshest progress that anybody knows.

    Raises:
        UnknownJob, Relayed: it is not this tenant's, or not there.
        Unavailable: the scheduler does not answer.
    """
    job_id = job_id_of(text)
    job = (await bus.request(READ_JOB, ReadJob(job_id=job_id), tenant=tenant)).job
    if STATUS_OF_STATE[job.state] is not JobStatus.PROCESSING:
        return job
    live = await streams.last(bus, JOB_PROGRESS, PROGRESS, PROGRESS.subject(tenant, str(job_id)))
    if live is None or live.attempt != job.attempt or live.progress <= job.progress:
        return job
    return job.model_copy(update={"progress": live.progress, "eta_seconds": live.eta_seconds})


async def read_log(job_id: UUID, *, after: int, tenant: str, bus: Bus) -> JobWithEvents:
    """The job and its events with a greater ``seq``."""
    return await bus.request(READ_JOB, ReadJob(job_id=job_id, after=after), tenant=tenant)


async def cancel_job(text: str, *, tenant: str, bus: Bus) -> Job:
    """End the job; the answer is how it stands then, whoever was first."""
    return (await bus.request(CANCEL_JOB, CancelJob(job_id=job_id_of(text)), tenant=tenant)).job


async def purge_job(text: str, *, tenant: str, bus: Bus) -> None:
    """Delete the job and all that belongs to it.

    Raises:
        UnknownJob, Relayed: it is not this tenant's, or not there any more, or has not ended.
    """
    await bus.request(PURGE_JOB, PurgeJob(job_id=job_id_of(text)), tenant=tenant)
