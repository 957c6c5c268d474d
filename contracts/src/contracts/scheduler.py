"""Words that the scheduler owns: jobs, attempts, nodes."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, Field, JsonValue

from contracts.catalog import ClassSpec
from contracts.graph_policy.policy import TenantPolicy
from contracts.wire.errors import FieldError, Kind, Refusal
from contracts.wire.model import Command, Fact
from contracts.wire.text import Message, Name
from contracts.wire.topic import Rpc, Topic, Traffic

NodeName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class JobState(StrEnum):
    """Where a job is. The last four are final."""

    QUEUED = "queued"
    LEASED = "leased"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


FINAL = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED})


class JobStatus(StrEnum):
    """Where a job is, in the words of the public API."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


STATUS = {
    JobState.QUEUED: JobStatus.PENDING,
    JobState.LEASED: JobStatus.PROCESSING,
    JobState.RUNNING: JobStatus.PROCESSING,
    JobState.SUCCEEDED: JobStatus.COMPLETED,
    JobState.FAILED: JobStatus.FAILED,
    JobState.EXPIRED: JobStatus.FAILED,
    JobState.CANCELLED: JobStatus.CANCELLED,
}


class OutputKind(StrEnum):
    """What medium an output is."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    TEXT = "text"
    MODEL = "model"
    FILE = "file"


class OutputSource(StrEnum):
    """What an output was before it was stored."""

    FILE = "file"  # a file that a node wrote, or an image that it sent
    VALUE = "value"  # a text or another JSON value that a node reported


class Output(Fact):
    """One stored output of a job. ``id`` names its bytes in the artifact store.

    Attributes:
        temporary: a preview: the node wrote it to its folder for temporary files.
        key: under which the node reported it, such as "images", "text", "result"; None where that is not known.
        position: its place in the list under that key, from 0.
        value: of a value that is small (``MAX_INLINE_BYTES`` in the executor); None of any other output. The stored
            bytes are the whole value in any case.
    """

    id: UUID
    node_id: Name
    name: Name
    kind: OutputKind
    content_type: Name
    size_bytes: int
    sha256: Name
    temporary: bool = False
    source: OutputSource = OutputSource.FILE
    key: Name | None = None
    position: Annotated[int, Field(ge=0)] = 0
    value: JsonValue = None


class JobError(Fact):
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


class JobWarning(Fact):
    """Something that the owner of a completed job should know. ``code`` is one of ``JOB_WARNINGS``."""

    code: Name
    message: Message


class WaitReason(StrEnum):
    """Why a job has not started."""

    QUEUE = "queue"  # it can run, and other jobs come first
    CONCURRENCY_LIMIT = "concurrency_limit"  # its tenant runs as many jobs as it may
    NO_NODE_ONLINE = "no_node_online"
    NO_NODE_HAS_CLASS = "no_node_has_class"  # no online node has all its node classes
    MODEL_MISSING = "model_missing"  # online nodes have its classes, and none has all its models and other options
    NODE_BUSY_ELSEWHERE = "node_busy_elsewhere"  # nodes that can run it work for somebody else
    NODE_BLOCKED = "node_blocked"  # nodes that can run it are stuck
    HELD = "held"  # on purpose, see ``HoldCause``
    ACCOUNT_DISABLED = "account_disabled"


class HoldCause(StrEnum):
    """Why a job is held."""

    OPERATOR = "operator"  # an operator holds the job
    NODES_CORDONED = "nodes_cordoned"  # nodes that can run it take no new work: they are cordoned or drained
    RETRY = "retry"  # its node died with it: for a while only other nodes may take it


class MissingOption(Fact):
    """A model file or other option that an input of the job names, and online nodes that lack it, 10 at most."""

    node_class: str
    input: str
    value: str
    nodes: tuple[str, ...]


def _is_absent(value: object) -> bool:
    return value is None or value == ()


class WaitingDetail(Fact):
    """What belongs to the reason; the rest is absent.

    Attributes:
        jobs_ahead: of ``queue``: jobs of the same tenant that run before it.
        limit, running: of ``concurrency_limit``: jobs that the tenant may run at once, and those that it runs.
        last_online_at: of ``no_node_online``: when the last node went offline; absent where none is known.
        nodes: names of the nodes that the reason is about, 10 at most.
        classes: of ``no_node_has_class``: node classes that are missing, 10 at most.
        missing: of ``model_missing``: what is missing, 5 at most, those first that most nodes lack.
        cause, until: of ``held``. ``until`` is absent where nobody can know.
    """

    jobs_ahead: int | None = Field(default=None, exclude_if=_is_absent)
    limit: int | None = Field(default=None, exclude_if=_is_absent)
    running: int | None = Field(default=None, exclude_if=_is_absent)
    last_online_at: datetime | None = Field(default=None, exclude_if=_is_absent)
    nodes: tuple[str, ...] = Field(default=(), exclude_if=_is_absent)
    classes: tuple[str, ...] = Field(default=(), exclude_if=_is_absent)
    missing: tuple[MissingOption, ...] = Field(default=(), exclude_if=_is_absent)
    cause: HoldCause | None = Field(default=None, exclude_if=_is_absent)
    until: datetime | None = Field(default=None, exclude_if=_is_absent)


class Waiting(Fact):
    """Why a job waits.

    Attributes:
        since: when the reason began, as far as known; never before the job was queued.
        message: the same in words, for people.
    """

    reason: WaitReason
    since: datetime
    message: str
    detail: WaitingDetail = WaitingDetail()


class DrawnSeed(Fact):
    """A random seed that an input of the workflow got when the job was accepted."""

    node_id: Name
    input: Name
    seed: Annotated[int, Field(ge=0, le=2**64 - 1)]


class Timings(Fact):
    """How long each stage took, seconds; None for what has not begun."""

    queued_seconds: float | None = None
    running_seconds: float | None = None
    total_seconds: float | None = None


class Job(Fact):
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


class JobEvent(Fact):
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


class SubmitJob(Command):
    """Ask for a job. Submitting the same ``job_id`` again is the same job.

    Attributes:
        inputs: the uploads that the graph names where a node takes a file; kept for the job until it has ended.
        input_sizes: width and height of each of them, in the same order; zeros where they are not known.
        input_types: the media type of each of them, in the same order.
        workflow: name of the built-in or saved workflow, "custom" for a graph that was sent whole.
        model, seed: what a built-in workflow runs on, to be told with the job.
        randomize_seeds: draw a new value for each seed of the graph that is a number, not only for those that are -1.
        seeds: what was drawn for the job that this one runs again; the graph has these values already.
        priority: within the tenant's own jobs, higher runs first.
        idempotency_key: 1 to 255 visible ASCII characters.
        request_hash: SHA-256 of the request body, hex; what the key is compared by.
        retry_of: the failed job that this one runs again.
        endpoint: by which it came, method and template of the path: what it uses is told by that, too.
        fail_without_outputs: the job fails with ``job.no_outputs`` where it would complete without an output.
        graph: in API format, or a file of ComfyUI's editor.
        extra_data: what nodes get beside their inputs (ComfyUI's ``extra_data``), of keys that the gateway lets pass.
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


class RandomInput(Fact):
    """An input of the workflow that gets a random seed at each submit."""

    node_id: Name
    input: Name


class Validated(Fact):
    """What a submit would be told, had it not only been validated.

    Attributes:
        errors: why it would be refused; none if it would be accepted.
        warnings: what it would do otherwise than the workflow says, and limits that would refuse it just now.
        images: that a submit would reserve; None where there are errors.
        random_seeds: inputs that get a random seed.
    """

    errors: tuple[FieldError, ...] = ()
    warnings: tuple[FieldError, ...] = ()
    images: int | None = None
    random_seeds: tuple[RandomInput, ...] = ()


class Submitted(Fact):
    """The committed decision."""

    job: Job
    replayed: bool
    quota: "Quota"


class Quota(Fact):
    """Today's images of a tenant (UTC). ``limit`` None means unlimited."""

    limit: int | None
    used: int
    resets_at: datetime


class ReadUse(Command):
    """Ask what the tenant in the subject uses now."""


class Use(Fact):
    """What a tenant uses: today's images (reserved ones too), jobs that run and jobs that wait."""

    quota: Quota
    running: int
    queued: int


class ReadJob(Command):
    """Ask for one job of the tenant in the subject; with ``after`` also for its events with a greater ``seq``."""

    job_id: UUID
    after: int | None = None


class JobRead(Fact):
    """A job and, where asked for, its events."""

    job: Job
    events: tuple[JobEvent, ...] = ()


class ListJobs(Command):
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


class JobPage(Fact):
    """A page of jobs; ``more`` says whether another one follows."""

    jobs: tuple[Job, ...]
    more: bool


class CancelJob(Command):
    """Ask to end a job. Answers the state that it ended in, whoever won the race."""

    job_id: UUID


class ReadFleet(Command):
    """Ask what the fleet can run, for the tenant in the subject or, without one, at all."""


class Fleet(Fact):
    """What the nodes that were seen lately can run.

    Attributes:
        models: model files by loader input: most common first, of equally common ones those that nodes have loaded.
        default_models: checkpoints that a submission without a model may run on, best first.
    """

    models: dict[str, tuple[str, ...]]
    default_models: tuple[str, ...] = ()
    classes: tuple[str, ...]
    nodes: tuple["NodeSummary", ...]


class NodeSummary(Fact):
    """One node as the fleet sees it."""

    node: str
    online: bool
    seen_at: datetime
    job_id: UUID | None


class AttemptRef(Command):
    """The right to write about one attempt: nothing with an old ``lease_token`` changes anything."""

    job_id: UUID
    tenant_id: UUID
    attempt: int
    lease_token: UUID


class AskWork(Command):
    """An idle executor asks for work. Asking again before the attempt ended gives the same attempt again.

    Attributes:
        wait_s: how long the scheduler may keep the question before it answers that there is none.
    """

    boot_id: UUID
    wait_s: Annotated[float, Field(ge=0, le=30)]


class Assignment(Fact):
    """An attempt, leased to the node that asked.

    Attributes:
        prompt_id: the id under which the node must know this attempt, minted once per attempt.
        inputs: the uploads whose ids the graph names; the node is to have their bytes first.
        lease_s: seconds from now until the lease lapses without a heartbeat.
        run_within_s: seconds that the attempt may take, None for no bound.
        policy: of the tenant, as it was when the attempt began; the executor applies it once more.
        images: reserved for the job; storing more needs another reservation (``RESERVE_IMAGES``).
        frames_per_image: frames of an animation or a video that count as one image.
        extra_data: what nodes get beside their inputs (ComfyUI's ``extra_data``).
    """

    ref: AttemptRef
    prompt_id: UUID
    graph: dict[str, Any]
    extra_data: dict[str, Any] | None = None
    inputs: tuple[UUID, ...] = ()
    lease_s: float
    run_within_s: float | None
    policy: TenantPolicy = TenantPolicy()
    images: int = 0
    frames_per_image: Annotated[int, Field(ge=1)] = 16


class Asked(Fact):
    """The answer to an ask."""

    assignment: Assignment | None


class OccupiedBy(StrEnum):
    """What keeps a node that answers from taking jobs."""

    FOREIGN_PROMPT = "foreign_prompt"  # somebody else's prompt is in the node's queue
    OWN_PROMPT = "own_prompt"  # the prompt of an attempt that has ended does not stop
    DEAD_WORKER = "dead_worker"  # ComfyUI queues prompts and runs none: only a restart helps


class Occupied(Command):
    """Why a node takes no jobs at the moment.

    Attributes:
        prompt_id: of the prompt that holds the node, as the node names it; None where it cannot be told.
        seconds: since the executor first saw this prompt there.
        blocked: it lasts longer than ``EXECUTOR_BLOCKED_AFTER_S``, so that somebody should look after the node.
    """

    by: OccupiedBy
    prompt_id: Name | None = None
    seconds: Annotated[float, Field(ge=0)]
    blocked: bool


class Beat(Command):
    """A sign of life from an executor, every few seconds.

    Attributes:
        online: whether its ComfyUI answers.
        catalog_digest: of what the node can run, so that the scheduler can ask for it when it is new.
        attempt: the attempt at hand, whose lease this renews.
        progress: percent of that attempt.
        loaded: model files of the node's last prompt, as ``Class.input=file``; none after the node was away.
        foreign_prompts: prompts of somebody else in the node's queue, which keep the executor from asking for work.
        occupied: why the node takes no jobs, None while it does.
        cleared, refreshed: the newest order to clear the node and to read its catalog that was carried out.
    """

    boot_id: UUID
    online: bool
    catalog_digest: Name | None
    attempt: AttemptRef | None
    progress: float = 0
    loaded: Annotated[tuple[Message, ...], Field(max_length=100)] = ()
    foreign_prompts: Annotated[int, Field(ge=0)] = 0
    occupied: Occupied | None = None
    cleared: AwareDatetime | None = None
    refreshed: AwareDatetime | None = None


class LeaseState(StrEnum):
    """What a heartbeat learns about the attempt it named."""

    NONE = "none"  # it named none
    KEPT = "kept"
    LOST = "lost"  # another attempt took over or the job ended: stop, touch nothing
    CANCELLED = "cancelled"  # stop the prompt and say so


class Beaten(Fact):
    """The answer to a heartbeat.

    Attributes:
        clear: when an operator ordered that prompts of others be removed from the node; None once that was done.
        refresh: when an operator ordered that the node's catalog be read again; None once that was done.
    """

    lease: LeaseState
    catalog_wanted: bool
    clear: datetime | None = None
    refresh: datetime | None = None


class ReadClasses(Command):
    """Ask for a page of the node classes that the tenant in the subject may use; without a tenant, of all, by name.

    Attributes:
        name: only this one.
        after: the last name of the page before.
        refused: also those that the tenant may not use.
    """

    name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    after: Annotated[str, Field(max_length=200)] | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 100
    refused: bool = False


class FleetClass(Fact):
    """A node class as the fleet has it: an input's options are those of all nodes, 1,000 at most.

    Attributes:
        refused: why the tenant may not use it, and who can allow it; None if it may.
    """

    name: str
    spec: ClassSpec
    refused: str | None = None


class ClassPage(Fact):
    """A page of node classes, 256 KiB at most unless it is one class; ``more`` says whether another page follows."""

    classes: tuple[FleetClass, ...]
    more: bool


class ReportCatalog(Command):
    """What a node can run: zlib-compressed JSON of {class: ClassSpec} in base64, and the SHA-256 of that JSON, hex."""

    digest: Name
    classes_zlib: str


class StartAttempt(Command):
    """The node has taken the prompt."""

    ref: AttemptRef


class Outcome(StrEnum):
    """How an attempt ended on its node."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"  # the workflow's fault: never tried again
    NODE_FAULT = "node_fault"  # the node's fault: tried again elsewhere
    CANCELLED = "cancelled"  # stopped because it was asked for


class FinishAttempt(Command):
    """How an attempt ended. Sent until it is answered; only the holder of the lease changes anything.

    Attributes:
        gpu_seconds: time the node spent on it.
        images: images that were stored. Never more than are reserved count.
        node_died: the node had the job and stopped answering or running it. A job that this happens to twice is not
            tried again.
        warnings: for the owner of the job.
    """

    ref: AttemptRef
    outcome: Outcome
    outputs: tuple[Output, ...] = ()
    error: JobError | None = None
    gpu_seconds: Annotated[float, Field(ge=0)] = 0
    images: Annotated[int, Field(ge=0)] = 0
    node_died: bool = False
    warnings: Annotated[tuple[JobWarning, ...], Field(max_length=20)] = ()


class ReserveImages(Command):
    """Ask for more images than are reserved for the job of a live attempt, before they are stored.

    Attributes:
        images: that the job needs in all, so that asking again changes nothing.
    """

    ref: AttemptRef
    images: Annotated[int, Field(ge=0, le=1_000_000)]


class ImagesReserved(Fact):
    """What is reserved for the job now: less than was asked for where the day's quota has no more.

    Attributes:
        applied: False where the lease is gone or the job has ended; then nothing may be stored.
    """

    images: int
    applied: bool


class AttemptWritten(Fact):
    """Whether the write was the lease holder's. False means: stop. Nor is a start applied of a job that has ended."""

    applied: bool


class UnknownJob(Refusal):
    """There is no such job. GET /api/v1/jobs lists your jobs."""

    kind, code = Kind.NOT_FOUND, "job.not_found"


class InvalidWorkflow(Refusal):
    """The workflow cannot run as it is. errors names each node and input, what is wrong and what is valid."""

    kind, code = Kind.INVALID, "workflow.invalid"

    def __init__(self, errors: tuple[FieldError, ...]) -> None:
        super().__init__(errors=errors)


class NoFleet(Refusal):
    """No node has joined the fleet yet, so workflows cannot be checked. Try again once an operator has added a node."""

    kind, code = Kind.UNAVAILABLE, "fleet.empty"


class QuotaExceeded(Refusal):
    """{left} of today's {limit} images are left, and this job needs {images}. Make fewer, or wait until 00:00 UTC."""

    kind, code = Kind.LIMITED, "quota.images_exceeded"


class GpuSecondsExceeded(Refusal):
    """You have used today's {limit} GPU-seconds. The quota resets at 00:00 UTC."""

    kind, code = Kind.LIMITED, "quota.gpu_seconds_exceeded"


class RunTimeTooLong(Refusal):
    """run_within_seconds can be at most {most} in your tier. Send less, or leave it out."""

    kind, code = Kind.INVALID, "job.run_time_too_long"


class QueueFull(Refusal):
    """You have {cap} waiting jobs, the maximum of your tier. Wait until one starts, or cancel one."""

    kind, code = Kind.LIMITED, "quota.queue_full"


class KeyReused(Refusal):
    """This Idempotency-Key was used with another request body. Send a new key for a new request."""

    kind, code = Kind.INVALID, "idempotency.key_reused"


def _rpc(noun: str, verb: str, payload: Any, reply: Any, says: str, *, producer: str, **more: Any) -> Any:
    """An RPC of the scheduler, asked by one producer."""
    return Rpc(
        kind=Traffic.RPC,
        owner="scheduler",
        noun=noun,
        verb=verb,
        payload=payload,
        reply=reply,
        says=says,
        producers=(producer,),
        consumers=("scheduler",),
        **more,
    )


SUBMIT_JOB: Rpc[SubmitJob, Submitted] = _rpc(
    "job", "submit", SubmitJob, Submitted, "run this workflow", producer="gateway", timeout_s=1.2
)
VALIDATE_WORKFLOW: Rpc[SubmitJob, Validated] = _rpc(
    "workflow",
    "validate",
    SubmitJob,
    Validated,
    "whether this workflow would be accepted",
    producer="gateway",
    timeout_s=5.0,
)
LIST_JOBS: Rpc[ListJobs, JobPage] = _rpc(
    "job", "list", ListJobs, JobPage, "my jobs, newest first", producer="gateway", timeout_s=1.8
)
CANCEL_JOB: Rpc[CancelJob, JobRead] = _rpc(
    "job", "cancel", CancelJob, JobRead, "end this job", producer="gateway", timeout_s=1.8
)
READ_FLEET: Rpc[ReadFleet, Fleet] = _rpc(
    "fleet", "read", ReadFleet, Fleet, "what the fleet can run", producer="gateway", timeout_s=1.2
)
READ_CLASSES: Rpc[ReadClasses, ClassPage] = _rpc(
    "classes", "read", ReadClasses, ClassPage, "node classes and their inputs", producer="gateway", timeout_s=1.8
)
READ_USE: Rpc[ReadUse, Use] = _rpc(
    "use", "read", ReadUse, Use, "what a tenant uses now", producer="gateway", timeout_s=1.5
)
READ_JOB: Rpc[ReadJob, JobRead] = Rpc(
    kind=Traffic.RPC,
    owner="scheduler",
    noun="job",
    verb="read",
    payload=ReadJob,
    reply=JobRead,
    says="how a job stands, and its log",
    producers=("gateway", "notifier"),
    consumers=("scheduler",),
    timeout_s=1.5,
)
ASK_WORK: Rpc[AskWork, Asked] = _rpc(
    "attempt", "ask", AskWork, Asked, "an idle node asks for work", producer="executor", key="node", timeout_s=7.0
)
START_ATTEMPT: Rpc[StartAttempt, AttemptWritten] = _rpc(
    "attempt", "start", StartAttempt, AttemptWritten, "the node took the prompt", producer="executor", key="node"
)
FINISH_ATTEMPT: Rpc[FinishAttempt, AttemptWritten] = _rpc(
    "attempt", "finish", FinishAttempt, AttemptWritten, "how an attempt ended", producer="executor", key="node"
)
RESERVE_IMAGES: Rpc[ReserveImages, ImagesReserved] = _rpc(
    "images",
    "reserve",
    ReserveImages,
    ImagesReserved,
    "a job is to store more images than were reserved",
    producer="executor",
    key="node",
)
BEAT: Rpc[Beat, Beaten] = _rpc(
    "node",
    "beat",
    Beat,
    Beaten,
    "an executor lives and renews its lease",
    producer="executor",
    key="node",
    timeout_s=2.0,
)
REPORT_CATALOG: Rpc[ReportCatalog, AttemptWritten] = _rpc(
    "node", "report", ReportCatalog, AttemptWritten, "what a node can run", producer="executor", key="node"
)
JOB_CHANGED: Topic[JobEvent] = Topic(
    kind=Traffic.EVT,
    owner="scheduler",
    noun="job",
    verb="changed",
    key="job",
    payload=JobEvent,
    says="a job changed its state",
    producers=("scheduler",),
    consumers=("notifier", "outside"),
)
JOB_CHANGED_LIVE: Topic[JobEvent] = Topic(
    kind=Traffic.LIVE,
    owner="scheduler",
    noun="job",
    verb="changed",
    key="job",
    payload=JobEvent,
    says="the same at once, for whoever watches now; it may be lost",
    producers=("scheduler",),
    consumers=("gateway", "notifier"),
)

TOPICS = (
    SUBMIT_JOB, VALIDATE_WORKFLOW, READ_JOB, LIST_JOBS, CANCEL_JOB, READ_FLEET, READ_CLASSES, READ_USE,
    ASK_WORK, START_ATTEMPT, FINISH_ATTEMPT, RESERVE_IMAGES, BEAT, REPORT_CATALOG, JOB_CHANGED, JOB_CHANGED_LIVE,
)  # fmt: skip
