"""Search over the jobs of all tenants, for operators."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.scheduler.jobs import Job, JobError, JobState
from contracts.scheduler.rpc import scheduler_rpc
from contracts.wire.model import StrictModel, TolerantModel


class AdminJob(TolerantModel):
    """A job as operators see it; ``node`` is that of its newest attempt."""

    job: Job
    node: str | None


class SearchJobs(StrictModel):
    """Ask for a page of everybody's jobs, newest first.

    Attributes:
        before: the last ``job_id`` of the page before.
        states: only these; all if empty.
        node: only those with an attempt on this node.
        created_after, created_before: only those accepted at or after the one and before the other.
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
    """A page of jobs; ``more`` says whether another one follows."""

    jobs: tuple[AdminJob, ...]
    more: bool


class AttemptSummary(TolerantModel):
    """One try at a job. ``outcome`` is None while it lives, ``withdrawn`` where an operator took it from its node."""

    attempt: int
    node: str
    leased_at: datetime
    ended_at: datetime | None
    outcome: str | None
    gpu_seconds: float | None
    error: JobError | None


class InspectJob(StrictModel):
    """Ask for one job, whosever it is."""

    job_id: UUID


class JobWithAttempts(TolerantModel):
    """A job with every try at it, first to last."""

    job: Job
    attempts: tuple[AttemptSummary, ...]


SEARCH_JOBS = scheduler_rpc("job", "search", SearchJobs, AdminJobPage, "An operator searches the jobs of all tenants.")
INSPECT_JOB = scheduler_rpc("job", "inspect", InspectJob, JobWithAttempts, "An operator reads a job and its attempts.")

TOPICS = (SEARCH_JOBS, INSPECT_JOB)
