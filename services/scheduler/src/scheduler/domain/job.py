"""Jobs as the scheduler reads them from its database."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from contracts.scheduler.jobs import DrawnSeed, Job, JobError, JobState, JobWarning, Timings
from contracts.scheduler.outputs import Output
from contracts.scheduler.waiting import Waiting


@dataclass(frozen=True, slots=True)
class LockedJob:
    """A job whose lock is held, with the fields that a transition needs."""

    id: UUID
    tenant_id: UUID
    state: JobState
    attempt: int
    seq: int
    images: int
    usage_day: date
    on_hold: bool
    endpoint: str | None
    fail_without_outputs: bool
    request_id: str | None
    created_at: datetime
    tier: str


class JobSnapshot(NamedTuple):
    """A job at the time ``now``, with its position in the queue.

    Attributes:
        requirement_id: id of the requirement that a node must meet to run it.
        queued_at: when it was last queued, held or released; None if it is not queued.
        avoid_node, avoid_until: the job avoids this node until that time, unless no other node can run it.
        queue_position: number of the tenant's jobs that start before it, plus one; None if not queued, or not read.
        fingerprint: fingerprint of its workflow; None if it was accepted before fingerprints were computed.
    """

    id: UUID
    tenant_id: UUID
    state: JobState
    workflow: str
    priority: int
    labels: dict[str, str]
    attempt: int
    progress: float
    images: int
    seq: int
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    now: datetime
    outputs: tuple[Output, ...]
    error: JobError | None
    model: str | None
    seed: int | None
    queue_position: int | None
    requirement_id: int
    queued_at: datetime | None
    avoid_node: str | None = None
    avoid_until: datetime | None = None
    on_hold: bool = False
    retry_of: UUID | None = None
    warnings: tuple[JobWarning, ...] = ()
    seeds: tuple[DrawnSeed, ...] = ()
    fingerprint: int | None = None


class JobForecast(NamedTuple):
    """Estimated start and end of a job that has not ended.

    Attributes:
        position: position in the order in which the jobs of all tenants start; None if not queued.
        end_s, end_p90_s: seconds until it ends: the median, and what 90 % of such jobs are expected not to exceed.
    """

    position: int | None = None
    end_s: float | None = None
    end_p90_s: float | None = None


def build_public_job(job: JobSnapshot, forecast: JobForecast | None = None, waiting: Waiting | None = None) -> Job:
    """Build the job as its owner sees it."""
    forecast = forecast or JobForecast()
    succeeded = job.state is JobState.SUCCEEDED
    return Job(
        job_id=job.id,
        tenant_id=job.tenant_id,
        state=job.state,
        workflow=job.workflow,
        priority=job.priority,
        labels=job.labels,
        attempt=job.attempt,
        progress=100.0 if succeeded else min(job.progress, 99.0),
        queue_position=forecast.position,
        eta_seconds=_round_seconds(forecast.end_s),
        eta_p90_seconds=_round_seconds(forecast.end_p90_s),
        images=job.images,
        seq=job.seq,
        created_at=job.created_at,
        started_at=job.started_at,
        completed_at=job.completed_at,
        timings=_compute_timings(job),
        outputs=job.outputs if succeeded else (),
        error=job.error,
        warnings=job.warnings,
        held=job.on_hold,
        retry_of=job.retry_of,
        model=job.model,
        seed=job.seed,
        seeds=job.seeds,
        waiting=waiting,
    )


def _round_seconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def _compute_timings(job: JobSnapshot) -> Timings:
    end = job.completed_at or job.now
    return Timings(
        queued_seconds=round(((job.started_at or end) - job.created_at).total_seconds(), 3),
        running_seconds=round((end - job.started_at).total_seconds(), 3) if job.started_at else None,
        total_seconds=round((job.completed_at - job.created_at).total_seconds(), 3) if job.completed_at else None,
    )
