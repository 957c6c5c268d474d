"""Jobs as their owner sees them, and their events."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.scheduler.outputs import Output
from contracts.scheduler.rpc import scheduler_rpc
from contracts.scheduler.waiting import Waiting
from contracts.wire.errors import Kind, Refusal
from contracts.wire.model import StrictModel, TolerantModel
from contracts.wire.text import Message, Name
from contracts.wire.topic import Topic, Traffic


class JobState(StrEnum):
    """Where a job is. The last four are final."""

    QUEUED = "queued"
    LEASED = "leased"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


FINAL_STATES = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED})


class JobStatus(StrEnum):
    """Where a job is, in the words of the public API."""

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
    """Why a job did not succeed. Says nothing about the inside of a node."""

    code: Name
    message: Message
    node_id: Name | None = None
    node_class: Name | None = None


# Codes that the error of a failed job may have, in words for the job's owner. A code is stable and never reused.
JOB_ERRORS = {
    "input.gone": "An upload that the job uses was deleted or expired. Upload it again.",
    "input.too_large": "An upload is larger than ComfyUI takes. Send a smaller file, or ask the operator for a larger "
    "`--max-upload-size`.",
    "input.unreadable": "An upload that the job uses could not be read from the store. Submit the job again.",
    "job.no_outputs": "The job ran, but none of its nodes left an output, and the submission had set "
    "`on_no_outputs` to `fail`. Add a node that saves or previews something.",
    "job.poison": "Twice, the node stopped answering while it ran the job. Check the workflow before a new try.",
    "job.run_time_exceeded": "The job ran longer than `run_within_seconds`. Allow more time, or make it smaller.",
    "job.start_time_passed": "No node was free within `start_within_seconds`. Allow more time, or submit it later.",
    "job.undeliverable": "An internal fault kept the job from being handed to a node. Report it to the operator.",
    "node.answer_unusable": "The node's answer about the job could not be used. Check what the workflow outputs.",
    "node.fault": "A node could not run the job, and no other attempt succeeded. Submit the job again.",
    "node.lost": "The nodes that ran the job were lost. Submit the job again.",
    "node.out_of_memory": "The nodes that ran the job ran out of memory. Make its images or batches smaller.",
    "quota.images_exceeded": "The day's image quota is used up, so nothing that the job made was stored.",
    "workflow.answer_too_large": "The node's record of the job is too large: the workflow makes megabytes of text.",
    "workflow.answer_unreadable": "The node's record of the job cannot be read. Check what the workflow outputs.",
    "workflow.class_not_allowed": "Your graph policy refuses a class of the workflow. The message names it, why, "
    "and who can allow it.",
    "workflow.execution_failed": "A node of the workflow raised an exception. The message is its own.",
    "workflow.output_name_invalid": "The node does not give out a file that a custom node saved, because of its name: "
    "not valid UTF-8, two dots in a row, or outside of the node's folders.",
    "workflow.output_too_large": "An output is larger than what can be stored. Make it smaller.",
    "workflow.rejected": "ComfyUI did not accept the workflow. The message is its own.",
    "workflow.too_many_outputs": "The job has too many outputs. Split it into several jobs.",
    "workflow.value_not_allowed": "An input that names a file, folder or model has a value that it may not have.",
}


# Codes that a warning of a completed job may have. A code is stable and never reused.
JOB_WARNINGS = {
    "job.no_outputs": "The job ran, but none of its nodes left an output.",
    "job.node_without_outputs": "An output node ran or was skipped without leaving an output. The message names it.",
    "quota.images_exceeded": "The day's image quota was used up, so not every output was stored.",
}


class JobWarning(TolerantModel):
    """Something that the owner of a completed job should know. ``code`` is one of ``JOB_WARNINGS``."""

    code: Name
    message: Message


class DrawnSeed(TolerantModel):
    """A random seed that an input of the workflow got when the job was accepted."""

    node_id: Name
    input: Name
    seed: Annotated[int, Field(ge=0, le=2**64 - 1)]


class Timings(TolerantModel):
    """How long each stage took, seconds; None for what has not begun."""

    queued_seconds: float | None = None
    running_seconds: float | None = None
    total_seconds: float | None = None


class Job(TolerantModel):
    """A job as its owner may see it.

    Attributes:
        seq: number of the newest event, 1 and up without gaps.
        queue_position: jobs of the same tenant that run before this one, plus one; None when not queued.
        eta_seconds: until it will have ended, a guess; None where nobody can know.
        attempt: tries begun so far.
        images: images reserved, after the end images really made.
        warnings: of a job that has ended.
        held: an operator keeps it from being run until it is released.
        retry_of: the failed job that an operator had run again as this one.
        model: checkpoint that a built-in workflow runs on; None of any other workflow, which names its own.
        seed: of a built-in workflow; of any other the first of ``seeds``.
        seeds: the random seeds that were drawn for the workflow, the first 50 in the order of its nodes. Further
            attempts, and a job that an operator runs again, use the same.
        waiting: why it waits; None when not queued.
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
    """One transition of a job, as written into its log.

    Attributes:
        seq: 1 and up without gaps within a job.
        cause: what made it happen, e.g. "submitted", "claimed", "lease_lapsed".
        outputs: of the terminal event of a job that succeeded.
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


class ReadJob(StrictModel):
    """Ask for one job of the tenant in the subject; with ``after`` also for its events with a greater ``seq``."""

    job_id: UUID
    after: int | None = None


class JobWithEvents(TolerantModel):
    """A job and, where asked for, its events."""

    job: Job
    events: tuple[JobEvent, ...] = ()


class ListJobs(StrictModel):
    """Ask for a page of the tenant's jobs, newest first.

    Attributes:
        before: the last ``job_id`` of the page before.
        states: only these; all if empty.
        created_after, created_before: only those accepted at or after the one and before the other.
    """

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    before: UUID | None = None
    states: tuple[JobState, ...] = ()
    workflow: str | None = None
    label: tuple[str, str] | None = None
    created_after: AwareDatetime | None = None
    created_before: AwareDatetime | None = None


class JobPage(TolerantModel):
    """A page of jobs; ``more`` says whether another one follows."""

    jobs: tuple[Job, ...]
    more: bool


class CancelJob(StrictModel):
    """Ask to end a job. Answers the state that it ended in, whoever won the race."""

    job_id: UUID


class UnknownJob(Refusal):
    """There is no such job. GET /api/v1/jobs lists your jobs."""

    kind, code = Kind.NOT_FOUND, "job.not_found"


class ReadJobGraph(StrictModel):
    """Ask for the workflow that a job runs, as it was sent."""

    job_id: UUID


class JobGraph(TolerantModel):
    """The workflow of a job, in API format, and what its nodes get beside it."""

    graph: dict[str, Any]
    extra_data: dict[str, Any] | None = None


READ_JOB = scheduler_rpc(
    "job",
    "read",
    ReadJob,
    JobWithEvents,
    "Read a job and its events.",
    producers=("gateway", "notifier"),
    timeout_s=1.5,
)
LIST_JOBS = scheduler_rpc("job", "list", ListJobs, JobPage, "List the jobs of a tenant, newest first.", timeout_s=1.8)
CANCEL_JOB = scheduler_rpc("job", "cancel", CancelJob, JobWithEvents, "Cancel a job.", timeout_s=1.8)
JOB_CHANGED = Topic(
    kind=Traffic.EVT,
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
    kind=Traffic.LIVE,
    owner="scheduler",
    noun="job",
    verb="changed",
    key="job",
    payload=JobEvent,
    description="A job changed its state: sent at once and never stored, so it can be lost.",
    producers=("scheduler",),
    consumers=("gateway", "notifier"),
)
READ_JOB_GRAPH = scheduler_rpc("job", "graph", ReadJobGraph, JobGraph, "Read the workflow of a job.", timeout_s=1.8)

TOPICS = (READ_JOB, LIST_JOBS, CANCEL_JOB, JOB_CHANGED, JOB_CHANGED_LIVE, READ_JOB_GRAPH)
