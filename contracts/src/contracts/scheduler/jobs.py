"""Jobs as their owner sees them, and job events."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.scheduler.outputs import Output
from contracts.scheduler.rpc import declare_scheduler_rpc
from contracts.scheduler.waiting import Waiting
from contracts.wire.errors import ErrorKind, Refusal
from contracts.wire.model import StrictModel, TolerantModel
from contracts.wire.text import LongText, ShortText
from contracts.wire.topic import MessageKind, Topic


class JobState(StrEnum):
    """Internal state of a job. The last four are final."""

    QUEUED = "queued"
    LEASED = "leased"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


FINAL_STATES = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED})


class JobStatus(StrEnum):
    """State of a job in the public API."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


STATUS_OF_STATE = {
    JobState.QUEUED: JobStatus.PENDING,
    JobState.LEASED: JobStatus.PROCESSING,
    JobState.RUNNING: JobStatus.PROCESSING,
    JobState.SUCCEEDED: JobStatus.COMPLETED,
    JobState.FAILED: JobStatus.FAILED,
    JobState.EXPIRED: JobStatus.FAILED,
    JobState.CANCELLED: JobStatus.CANCELLED,
}


class JobError(TolerantModel):
    """Why a job failed, without internals of the node."""

    code: ShortText
    message: LongText
    node_id: ShortText | None = None
    node_class: ShortText | None = None


# Error codes of failed jobs, with messages for the job's owner. A code is stable and never reused.
JOB_ERRORS = {
    "input.gone": "An upload that the job uses was deleted or expired. Upload it again.",
    "input.too_large": "An upload is larger than ComfyUI takes. Send a smaller file, or ask the operator for a larger "
    "`--max-upload-size`.",
    "input.unreadable": "An upload that the job uses could not be read from the store. Submit the job again.",
    "job.no_outputs": "The job ran, but none of its nodes left an output, and the submission had set "
    "`on_no_outputs` to `fail`. Add a node that saves or previews something.",
    "job.poison": "Two nodes failed while they ran the job, or one node stopped answering twice. Check the workflow "
    "before you submit it again.",
    "job.run_time_exceeded": "The job ran longer than `run_within_seconds`, or than the tier allows. Allow more time, "
    "or make it smaller.",
    "job.start_time_passed": "The job did not start within `start_within_seconds`, or within the limit of the tier. "
    "Allow more time, or submit it later.",
    "job.storage_unavailable": "The results could not be stored: the server's storage was full or unavailable for too "
    "long. Submit the job again.",
    "job.undeliverable": "The job could not be sent to a node because of an internal fault. Report it to the operator.",
    "node.answer_unusable": "ComfyUI returned an invalid response about the job. Check the outputs of the workflow.",
    "node.fault": "A node could not run the job, and no other attempt succeeded. Submit the job again.",
    "node.lost": "The nodes that ran the job were lost. Submit the job again.",
    "node.out_of_memory": "The nodes that ran the job ran out of memory. Make its images or batches smaller.",
    "quota.images_exceeded": "The day's image quota is used up, so nothing that the job made was stored.",
    "workflow.answer_too_large": "ComfyUI's history entry of the job is too large, because the workflow outputs "
    "megabytes of text. Output less text.",
    "workflow.answer_unreadable": "ComfyUI's history entry of the job cannot be read. Check the workflow's outputs.",
    "workflow.class_not_allowed": "Your account may not use a node class of the workflow. The error message names the "
    "class, says why it is not allowed, and who can allow it.",
    "workflow.execution_failed": "A node of the workflow raised an exception. The error message is the exception's.",
    "workflow.output_name_invalid": "A file that a custom node saved cannot be fetched from ComfyUI because of its "
    "name: it is not valid UTF-8, has two dots in a row, or lies outside of ComfyUI's folders.",
    "workflow.output_too_large": "An output is larger than what can be stored. Make it smaller.",
    "workflow.rejected": "ComfyUI did not accept the workflow. The error message is ComfyUI's.",
    "workflow.too_many_outputs": "The job has too many outputs. Split it into several jobs.",
    "workflow.value_not_allowed": "An input that takes the name of a file, folder or model has a value that your "
    "account may not use.",
}


# Warning codes of completed jobs. A code is stable and never reused.
JOB_WARNINGS = {
    "job.no_outputs": "The job ran, but none of its nodes left an output.",
    "job.node_without_outputs": "An output node ran or was skipped without leaving an output. The warning names the "
    "node.",
    "quota.images_exceeded": "The day's image quota was used up, so not every output was stored.",
}


class JobWarning(TolerantModel):
    """A note for the owner of a completed job."""

    code: ShortText
    message: LongText


class DrawnSeed(TolerantModel):
    """A random seed that was drawn for a workflow input when the job was accepted."""

    node_id: ShortText
    input: ShortText
    seed: Annotated[int, Field(ge=0, le=2**64 - 1)]


class Timings(TolerantModel):
    """Duration of each stage in seconds; null for a stage that has not begun."""

    queued_seconds: float | None = None
    running_seconds: float | None = None
    total_seconds: float | None = None


class Job(TolerantModel):
    """A job as its owner sees it.

    Attributes:
        seq: number of the newest event, 1 and up without gaps.
        queue_position: position in the order in which jobs of all tenants start; None if not queued. Computed as if
            each job cost what such jobs usually do: exact up to 200, beyond an estimate.
        eta_seconds: estimated seconds until it ends, the median; None if unknown.
        eta_p90_seconds: estimated seconds until it ends, the 90th percentile; None if unknown.
        attempt: number of attempts so far.
        images: reserved images; after the end, images actually produced.
        warnings: warnings about an ended job.
        held: whether an operator holds it until it is released.
        retry_of: the failed job that this one reruns on behalf of an operator.
        model: checkpoint of a built-in workflow; None for other workflows, which name their own.
        seed: seed of a built-in workflow; for other workflows the first of ``seeds``.
        seeds: random seeds drawn for the workflow, the first 50 in the order of its nodes. Retries and reruns use the
            same seeds.
        waiting: why it waits; None if not queued.
    """

    job_id: UUID
    tenant_id: UUID
    state: JobState
    workflow: str
    priority: int
    labels: dict[str, str]
    attempt: int
    progress: float
    queue_position: int | None
    eta_seconds: float | None
    eta_p90_seconds: float | None = None
    images: int
    seq: int
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    timings: Timings
    outputs: tuple[Output, ...]
    error: JobError | None
    warnings: tuple[JobWarning, ...] = ()
    held: bool = False
    retry_of: UUID | None = None
    model: str | None = None
    seed: int | None = None
    seeds: tuple[DrawnSeed, ...] = ()
    waiting: Waiting | None = None


class JobEvent(TolerantModel):
    """One state transition of a job.

    Attributes:
        seq: number of the event, 1 and up without gaps within a job.
        cause: why it happened, e.g. "submitted", "claimed", "lease_lapsed".
        outputs: outputs of a successful job, in its final event.
        request_id: id of the request that submitted the job, to find it in logs.
    """

    job_id: UUID
    tenant_id: UUID
    seq: int
    state: JobState
    cause: str
    attempt: int
    at: datetime
    outputs: tuple[Output, ...] = ()
    error: JobError | None = None
    request_id: str | None = None


class ReadJob(StrictModel):
    """Get a job of the tenant in the subject; with ``after`` also its events with a greater ``seq``."""

    job_id: UUID
    after: int | None = None


class JobWithEvents(TolerantModel):
    """A job and the requested events."""

    job: Job
    events: tuple[JobEvent, ...] = ()


class ListJobs(StrictModel):
    """List the tenant's jobs, newest first.

    Attributes:
        before: the last ``job_id`` of the previous page.
        states: return only jobs in these states; all if empty.
        created_after, created_before: return only jobs accepted at or after the first and before the second.
    """

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    before: UUID | None = None
    states: tuple[JobState, ...] = ()
    workflow: str | None = None
    label: tuple[str, str] | None = None
    created_after: AwareDatetime | None = None
    created_before: AwareDatetime | None = None


class JobPage(TolerantModel):
    """A page of jobs. ``more`` is true if another page follows."""

    jobs: tuple[Job, ...]
    more: bool


class CancelJob(StrictModel):
    """Cancel a job. The reply has the state in which it ended, even if it ended before the cancellation."""

    job_id: UUID


class UnknownJob(Refusal):
    """There is no such job. GET /api/v1/jobs lists your jobs."""

    kind, code = ErrorKind.NOT_FOUND, "job.not_found"


class ReadJobGraph(StrictModel):
    """Get the workflow of a job as it was submitted."""

    job_id: UUID


class JobGraph(TolerantModel):
    """The workflow of a job in API format, and its ``extra_data``."""

    graph: dict[str, Any]
    extra_data: dict[str, Any] | None = None


READ_JOB = declare_scheduler_rpc(
    "job",
    "read",
    ReadJob,
    JobWithEvents,
    "Read a job and its events.",
    producers=("gateway", "notifier"),
    timeout_s=1.5,
)
LIST_JOBS = declare_scheduler_rpc(
    "job", "list", ListJobs, JobPage, "List the jobs of a tenant, newest first.", timeout_s=1.8
)
CANCEL_JOB = declare_scheduler_rpc("job", "cancel", CancelJob, JobWithEvents, "Cancel a job.", timeout_s=1.8)
JOB_CHANGED = Topic(
    kind=MessageKind.EVT,
    owner="scheduler",
    noun="job",
    verb="changed",
    key="job",
    payload=JobEvent,
    description="A job changed its state.",
    producers=("scheduler",),
    consumers=("notifier", "outside"),
)
JOB_CHANGED_LIVE = Topic(
    kind=MessageKind.LIVE,
    owner="scheduler",
    noun="job",
    verb="changed",
    key="job",
    payload=JobEvent,
    description="A job changed its state: sent at once and never stored, so it can be lost.",
    producers=("scheduler",),
    consumers=("gateway", "notifier"),
)
READ_JOB_GRAPH = declare_scheduler_rpc(
    "job", "graph", ReadJobGraph, JobGraph, "Read the workflow of a job.", timeout_s=1.8
)

TOPICS = (READ_JOB, LIST_JOBS, CANCEL_JOB, JOB_CHANGED, JOB_CHANGED_LIVE, READ_JOB_GRAPH)
