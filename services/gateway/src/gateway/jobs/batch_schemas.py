"""Many submissions in one request, and what became of each."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from contracts.gateway.submissions import Submission
from contracts.wire.errors import Refused
from gateway.jobs.schemas import JobBody

MOST = 100
MAX_ERRORS = 200  # of all submissions of a batch together; each tells one at least


class Batch(BaseModel):
    """The envelope of a batch; what is in it is looked at one by one."""

    model_config = ConfigDict(extra="forbid", strict=True)

    jobs: Annotated[list[Any], Field(min_length=1, max_length=MOST)]


class BatchRequest(BaseModel):
    """The same as the document shows it."""

    model_config = ConfigDict(extra="forbid")

    jobs: Annotated[list[Submission], Field(min_length=1, max_length=MOST)]


class BatchItem(BaseModel):
    """What became of one submission.

    Attributes:
        index: which one, from 0.
        status: what ``POST /api/v1/jobs`` would have answered: 201, or the status of the problem.
        replayed: whether an earlier request with the same key made the job.
        job: the job, if it was accepted.
        problem: why not, otherwise (RFC 9457).
    """

    index: int
    status: int
    replayed: bool = False
    job: JobBody | None = None
    problem: dict[str, Any] | None = None


class BatchBody(BaseModel):
    """One item for each submission, in their order."""

    jobs: list[BatchItem]


def placed(refused: Refused, index: int, at_most: int) -> Refused:
    """A refusal of one submission with its first ``at_most`` errors, pointing into the body of the whole request."""
    errors = tuple(
        error.model_copy(update={"pointer": f"/jobs/{index}{error.pointer}"}) for error in refused.errors[:at_most]
    )
    return refused.model_copy(update={"errors": errors})
