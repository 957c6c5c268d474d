"""Search over the jobs of all tenants, for operators."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.scheduler.jobs import Job, JobError, JobState
from contracts.scheduler.rpc import declare_scheduler_rpc
from contracts.wire.model import StrictModel, TolerantModel


class AdminJob(TolerantModel):
    """A job as operators see it. ``node`` is the node of its latest attempt."""

    job: Job
    node: str | None


class SearchJobs(StrictModel):
    """List jobs of all tenants, newest first.

    Attributes:
        before: the last ``job_id`` of the previous page.
        states: return only jobs in these states; all if empty.
        node: return only jobs with an attempt on this node.
        created_after, created_before: return only jobs accepted at or after the first and before the second.
    """

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    before: UUID | None = None
    tenant_id: UUID | None = None
    states: tuple[JobState, ...] = ()
    node: str | None = None
    workflow: str | None = None
    created_after: AwareDatetime | None = None
    created_before: AwareDatetime | None = None


class AdminJobPage(TolerantModel):
    """A page of jobs. ``more`` is true if another page follows."""

    jobs: tuple[AdminJob, ...]
    more: bool


class AttemptSummary(TolerantModel):
    """One attempt of a job.

    ``outcome`` is None while it is live, ``withdrawn`` if an operator took it from its node, ``released`` if its
    executor was stopped.
    """

    attempt: int
    node: str
    leased_at: datetime
    ended_at: datetime | None
    outcome: str | None
    gpu_seconds: float | None
    error: JobError | None


class InspectJob(StrictModel):
    """Get one job of any tenant."""

    job_id: UUID


class JobWithAttempts(TolerantModel):
    """A job with all its attempts, oldest first."""

    job: Job
    attempts: tuple[AttemptSummary, ...]


SEARCH_JOBS = declare_scheduler_rpc(
    "job", "search", SearchJobs, AdminJobPage, "An operator searches the jobs of all tenants."
)
INSPECT_JOB = declare_scheduler_rpc(
    "job", "inspect", InspectJob, JobWithAttempts, "An operator reads a job and its attempts."
)

TOPICS = (SEARCH_JOBS, INSPECT_JOB)
