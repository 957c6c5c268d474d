"""Bodies of shared jobs."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from contracts.scheduler.jobs import STATUS_OF_STATE, DrawnSeed, Job, JobError, JobStatus, JobWarning, Timings
from contracts.scheduler.output_lists import ListedOutput
from gateway.jobs.history import JobWithGraph
from gateway.jobs.resubmission import rebuild_submission
from gateway.outputs.list_schemas import ListedOutputBody, build_listed_output_body
from gateway.signing.link_urls import LinkUrls

DAY_S = 86_400
DEFAULT_LIFETIME_S = 7 * DAY_S
MAX_LIFETIME_S = 30 * DAY_S


class ShareRequest(BaseModel):
    """How long the link works."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    expires_in_seconds: Annotated[int, Field(ge=60, le=MAX_LIFETIME_S)] = DEFAULT_LIFETIME_S


class ShareBody(BaseModel):
    """The share of a job."""

    expires_at: datetime


class NewShareBody(ShareBody):
    """A new share. ``token`` and ``url`` are shown only once."""

    token: str
    url: str


class SharedJobBody(BaseModel):
    """A job of another user, as it is shared. Times are RFC 3339, durations seconds.

    Attributes:
        submission: a body for ``POST /api/v1/jobs`` that runs the same. Uploads in it belong to the owner, so upload
            your own files instead.
        outputs: with signed links.
        expires_at: when the share expires.
    """

    job_id: UUID
    status: JobStatus
    progress: float
    workflow: str
    attempt: int
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    timings: Timings
    error: JobError | None
    warnings: list[JobWarning]
    model: str | None
    seed: int | None
    seeds: list[DrawnSeed]
    submission: dict[str, Any]
    outputs: list[ListedOutputBody]
    expires_at: datetime


def build_shared_job_body(found: JobWithGraph, links: LinkUrls, expires_at: datetime) -> SharedJobBody:
    """Return the view of a shared job, without its labels, priority and ``extra_data``, which are the owner's."""
    job = found.job.model_copy(update={"labels": {}, "priority": 0})
    return SharedJobBody(
        **job.model_dump(
            include={"job_id", "progress", "workflow", "attempt", "created_at", "started_at", "completed_at"}
        ),
        status=STATUS_OF_STATE[job.state],
        timings=job.timings,
        error=job.error,
        warnings=list(job.warnings),
        model=job.model,
        seed=job.seed,
        seeds=list(job.seeds),
        submission=rebuild_submission(job, found.graph.graph, None),
        outputs=[build_listed_output_body(listed, links, tenant=str(job.tenant_id)) for listed in _list_outputs(job)],
        expires_at=expires_at,
    )


def _list_outputs(job: Job) -> list[ListedOutput]:
    at = job.completed_at or job.created_at
    return [
        ListedOutput(
            job_id=job.job_id, index=index, completed_at=at, workflow=job.workflow, labels=job.labels, output=output
        )
        for index, output in enumerate(job.outputs)
    ]
