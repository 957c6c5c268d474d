"""Request and response bodies of an action on many jobs."""

from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from gateway.jobs.schemas import JobBody

MAX_JOBS = 100


class BulkAction(StrEnum):
    CANCEL = "cancel"
    PURGE = "purge"


class BulkRequest(BaseModel):
    """An action on up to 100 jobs. Repeated ids count once."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: BulkAction
    job_ids: Annotated[list[UUID], Field(min_length=1, max_length=MAX_JOBS)]


class BulkItem(BaseModel):
    """The outcome for one job.

    Attributes:
        status: the status that the route for one job would return: 200 for cancel, 204 for purge, or the status of the
            problem.
        job: the job after a cancellation.
        problem: the error, if refused (RFC 9457).
    """

    job_id: UUID
    status: int
    job: JobBody | None = None
    problem: dict[str, Any] | None = None


class BulkBody(BaseModel):
    """The outcome for each job, in order."""

    jobs: list[BulkItem]
