"""Submission and validation of jobs."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from contracts.scheduler.jobs import DrawnSeed, Job
from contracts.scheduler.rpc import declare_scheduler_rpc
from contracts.scheduler.usage import Quota
from contracts.wire.errors import ErrorKind, FieldError, Refusal
from contracts.wire.model import StrictModel, TolerantModel
from contracts.wire.text import ShortText


class SubmitJob(StrictModel):
    """Submit a job. Idempotent by ``job_id``.

    Attributes:
        inputs: uploads that the graph uses as files; kept until the job has ended.
        input_sizes: width and height of each of them, in the same order; zeros if unknown.
        input_types: media type of each of them, in the same order.
        workflow: name of the built-in or saved workflow, "custom" for a graph in the request.
        model, seed: parameters of a built-in workflow, to be returned with the job.
        randomize_seeds: draw a new value for each numeric seed of the graph, not only for those that are -1.
        seeds: seeds that were drawn for the job that this one reruns; the graph already has these values.
        priority: within the tenant's own jobs; higher runs first.
        idempotency_key: 1 to 255 visible ASCII characters.
        request_hash: SHA-256 of the request body, hex; detects another request with the same idempotency key.
        retry_of: the failed job that this one reruns.
        endpoint: method and path template of the request; usage is counted per endpoint.
        fail_without_outputs: the job fails with ``job.no_outputs`` instead of completing without an output.
        graph: graph in API format, or a file of ComfyUI's editor.
        extra_data: additional data for the nodes (ComfyUI's ``extra_data``), limited to keys that the gateway allows.
    """

    job_id: UUID
    graph: dict[str, Any]
    extra_data: dict[str, Any] | None = None
    inputs: Annotated[tuple[UUID, ...], Field(max_length=100)] = ()
    input_sizes: Annotated[tuple[tuple[int, int], ...], Field(max_length=100)] = ()
    input_types: Annotated[tuple[Annotated[str, Field(max_length=200)], ...], Field(max_length=100)] = ()
    workflow: str = "custom"
    model: str | None = None
    seed: Annotated[int, Field(ge=0, le=2**64 - 1)] | None = None
    randomize_seeds: bool = False
    seeds: tuple[DrawnSeed, ...] = ()
    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    labels: dict[str, str] = Field(default_factory=dict)
    start_within_seconds: Annotated[float, Field(gt=0)] | None = None
    run_within_seconds: Annotated[float, Field(gt=0)] | None = None
    idempotency_key: str | None = None
    request_hash: str
    retry_of: UUID | None = None
    endpoint: Annotated[str, Field(max_length=100)] | None = None
    fail_without_outputs: bool = False


class RandomInput(TolerantModel):
    """A workflow input that gets a random seed at each submit."""

    node_id: ShortText
    input: ShortText


class ValidationReply(TolerantModel):
    """The result of validating a submission without submitting it.

    Attributes:
        errors: why a submission would be refused; empty if it would be accepted.
        warnings: differences between the workflow and what would run, and any limit that would currently refuse it.
        images: images that a submission would reserve from the daily quota; None if there are errors.
        random_seeds: inputs that get a random seed at each submission.
    """

    errors: tuple[FieldError, ...] = ()
    warnings: tuple[FieldError, ...] = ()
    images: int | None = None
    random_seeds: tuple[RandomInput, ...] = ()


class SubmitReply(TolerantModel):
    """The accepted job, already committed."""

    job: Job
    replayed: bool
    quota: Quota


class InvalidWorkflow(Refusal):
    """The workflow cannot run as it is. See the field "errors" for each node and input and what is valid."""

    kind, code = ErrorKind.INVALID, "workflow.invalid"

    def __init__(self, errors: tuple[FieldError, ...]) -> None:
        super().__init__(errors=errors)


class EmptyFleet(Refusal):
    """No node has joined the fleet yet, so workflows cannot be checked. Try again once an operator has added a node."""

    kind, code = ErrorKind.UNAVAILABLE, "fleet.empty"


class StartTimeTooLong(Refusal):
    """start_within_seconds can be at most {most} in your tier. Send less, or leave it out."""

    kind, code = ErrorKind.INVALID, "job.start_time_too_long"


class RunTimeTooLong(Refusal):
    """run_within_seconds can be at most {most} in your tier. Send less, or leave it out."""

    kind, code = ErrorKind.INVALID, "job.run_time_too_long"


class IdempotencyKeyReused(Refusal):
    """This Idempotency-Key was used with another request body. Send a new key for a new request."""

    kind, code = ErrorKind.INVALID, "idempotency.key_reused"


class IdempotencyKeyOfPurgedJob(Refusal):
    """The job that this Idempotency-Key made was purged. Send a new key for a new job."""

    kind, code = ErrorKind.INVALID, "idempotency.job_purged"


SUBMIT_JOB = declare_scheduler_rpc("job", "submit", SubmitJob, SubmitReply, "Submit a job.", timeout_s=1.2)
VALIDATE_WORKFLOW = declare_scheduler_rpc(
    "workflow", "validate", SubmitJob, ValidationReply, "Validate a workflow without submitting it."
)

TOPICS = (SUBMIT_JOB, VALIDATE_WORKFLOW)
