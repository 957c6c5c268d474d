"""Request and response bodies of batch submissions."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from contracts.gateway.submissions import Submission
from contracts.wire.errors import RefusalDetails
from gateway.jobs.schemas import JobBody

MAX_JOBS = 100
MAX_LISTED_ERRORS = 200  # listed for all submissions of a batch together, at least one for each


class Batch(BaseModel):
    """The envelope of a batch. Each submission is parsed separately."""

    model_config = ConfigDict(extra="forbid", strict=True)

    jobs: Annotated[list[Any], Field(min_length=1, max_length=MAX_JOBS)]


class BatchRequest(BaseModel):
    """A batch as the OpenAPI document describes it."""

    model_config = ConfigDict(extra="forbid")

    jobs: Annotated[list[Submission], Field(min_length=1, max_length=MAX_JOBS)]


class BatchItem(BaseModel):
    """The outcome of one submission.

    Attributes:
        index: index of the submission, from 0.
        status: the status that ``POST /api/v1/jobs`` would return: 201, or the status of the problem.
        replayed: whether an earlier request with the same key created the job.
        job: the job, if accepted.
        problem: the error, if refused (RFC 9457).
    """

    index: int
    status: int
    replayed: bool = False
    job: JobBody | None = None
    problem: dict[str, Any] | None = None


class BatchBody(BaseModel):
    """The outcome of each submission, in order."""

    jobs: list[BatchItem]


def relocate_refusal(refused: RefusalDetails, index: int, max_errors: int) -> RefusalDetails:
    """Return a refusal with its first ``max_errors`` errors, whose pointers refer to the body of the batch."""
    errors = tuple(
        error.model_copy(update={"pointer": f"/jobs/{index}{error.pointer}"}) for error in refused.errors[:max_errors]
    )
    return refused.model_copy(update={"errors": errors})
