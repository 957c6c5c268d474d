"""Reads, lists, cancels and purges the jobs of a tenant."""

import json
from datetime import datetime
from uuid import UUID

from chassis.messaging import streams
from chassis.messaging.bus import Bus
from contracts.executor.progress import PROGRESS
from contracts.registry import JOB_PROGRESS
from contracts.scheduler.jobs import (
    CANCEL_JOB,
    LIST_JOBS,
    READ_JOB,
    STATUS_OF_STATE,
    CancelJob,
    Job,
    JobState,
    JobStatus,
    JobWithEvents,
    ListJobs,
    ReadJob,
    UnknownJob,
)
from contracts.scheduler.purges import PURGE_JOB, PurgeJob
from gateway.api.v1 import cursors
from gateway.signing.keys import SigningKeys


def parse_job_id(text: str) -> UUID:
    """Return the job id in a path.

    Raises:
        UnknownJob: the text is not a UUID in its canonical form.
    """
    try:
        job_id = UUID(text)
    except ValueError:
        raise UnknownJob from None
    if str(job_id) != text:
        raise UnknownJob
    return job_id


def _build_eta_fields(job: Job, live_s: float | None) -> dict[str, float | None]:
    """Return the fields of the estimate by the speed of the running attempt; none if its speed is unknown."""
    if live_s is None:
        return {}
    p90_s = None if job.eta_p90_seconds is None else max(job.eta_p90_seconds, live_s)
    return {"eta_seconds": live_s, "eta_p90_seconds": p90_s}


class JobService:
    """The jobs of a tenant. The scheduler stores them.

    Every method raises Unavailable if the scheduler does not answer, and UnknownJob (also as Relayed) if the tenant has
    no such job.
    """

    def __init__(self, bus: Bus, *, cursor_keys: SigningKeys) -> None:
        self._bus, self._cursor_keys = bus, cursor_keys

    async def read_job(self, text: str, *, tenant: str) -> Job:
        """Return the job, with the newest progress that its executor published."""
        job_id = parse_job_id(text)
        job = (await self._bus.request(READ_JOB, ReadJob(job_id=job_id), tenant=tenant)).job
        if STATUS_OF_STATE[job.state] is not JobStatus.PROCESSING:
            return job
        live = await streams.last(self._bus, JOB_PROGRESS, PROGRESS, PROGRESS.subject(tenant, str(job_id)))
        if live is None or live.attempt != job.attempt or live.progress <= job.progress:
            return job
        return job.model_copy(update={"progress": live.progress} | _build_eta_fields(job, live.eta_seconds))

    async def read_events(self, job_id: UUID, *, after: int, tenant: str) -> JobWithEvents:
        """Return the job and its events with a greater ``seq``."""
        return await self._bus.request(READ_JOB, ReadJob(job_id=job_id, after=after), tenant=tenant)

    async def list_jobs(
        self,
        *,
        tenant: str,
        limit: int,
        cursor: str | None,
        status: JobStatus | None,
        workflow: str | None,
        label: tuple[str, str] | None,
        created_after: datetime | None,
        created_before: datetime | None,
    ) -> tuple[tuple[Job, ...], str | None]:
        """Return a page of jobs, newest first, and the cursor of the next page.

        Raises:
            BadCursor: the cursor was made for another tenant or filter.
        """
        bounds = [at and at.isoformat() for at in (created_after, created_before)]
        filters, key = json.dumps([status, workflow, label, *bounds]), self._cursor_keys
        query = ListJobs(
            limit=limit,
            before=cursors.decode(key, cursor, tenant=tenant, filters=filters) if cursor is not None else None,
            states=tuple(state for state in JobState if STATUS_OF_STATE[state] is status),
            workflow=workflow,
            label=label,
            created_after=created_after,
            created_before=created_before,
        )
        page = await self._bus.request(LIST_JOBS, query, tenant=tenant)
        if not page.more or not page.jobs:
            return page.jobs, None
        return page.jobs, cursors.encode(key, tenant=tenant, filters=filters, before=page.jobs[-1].job_id)

    async def cancel_job(self, text: str, *, tenant: str) -> Job:
        """Cancel the job if it has not ended, and return it."""
        return (await self._bus.request(CANCEL_JOB, CancelJob(job_id=parse_job_id(text)), tenant=tenant)).job

    async def purge_job(self, text: str, *, tenant: str) -> None:
        """Delete an ended job with its inputs and outputs.

        Raises:
            Relayed: JobNotEnded, JobStopping.
        """
        await self._bus.request(PURGE_JOB, PurgeJob(job_id=parse_job_id(text)), tenant=tenant)
