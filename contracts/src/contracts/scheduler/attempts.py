"""Attempts: how an executor requests work and reports results."""

from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from contracts.graph_policy.policy import TenantPolicy
from contracts.scheduler.jobs import JobError, JobWarning
from contracts.scheduler.outputs import Output
from contracts.scheduler.rpc import declare_scheduler_rpc
from contracts.wire.model import StrictModel, TolerantModel
from contracts.wire.text import LongText
from contracts.wire.topic import MessageKind, Topic

MAX_NODE_ATTEMPTS = 8
"""Live attempts of a node that messages and tables have room for. The scheduler's setting can be lower."""


class AttemptRef(StrictModel):
    """Identifies an attempt and proves its lease. A write with an outdated ``lease_token`` changes nothing."""

    job_id: UUID
    tenant_id: UUID
    attempt: int
    lease_token: UUID


class RequestWork(StrictModel):
    """Request an attempt for a node. Repeating it before the attempt ends returns the same attempt.

    Attributes:
        wait_s: how long the scheduler may wait for work before it replies that there is none. A request with ``held``
            is answered at once.
        held: live attempt that the node still runs or stores; the request is for another one, to start after it
            (prefetch). None if the executor has no attempt.
        also_held: further attempts that the executor has, whose outputs are being stored. Sent only if there are any,
            because schedulers of earlier versions refuse the field.
        loaded: model files that the node has loaded, as ``Class.input=file``; None: as in its last heartbeat.
    """

    boot_id: UUID
    wait_s: Annotated[float, Field(ge=0, le=30)]
    held: AttemptRef | None = None
    also_held: Annotated[
        tuple[AttemptRef, ...], Field(max_length=MAX_NODE_ATTEMPTS - 2, exclude_if=lambda refs: not refs)
    ] = ()
    loaded: Annotated[tuple[LongText, ...], Field(max_length=100)] | None = None

    @property
    def all_held(self) -> tuple[AttemptRef, ...]:
        """``held`` and ``also_held``."""
        return (*((self.held,) if self.held is not None else ()), *self.also_held)


class CancelWorkRequests(TolerantModel):
    """Hint that this executor is being stopped: answer its waiting request for work, and assign it nothing more.

    If the hint is lost, the executor waits until its request is answered.
    """

    boot_id: UUID


class Assignment(TolerantModel):
    """An attempt, leased to the requesting node.

    Attributes:
        prompt_id: prompt id to use on the node, generated once per attempt.
        inputs: ids of uploads in the graph; their files must be on the node first.
        lease_s: seconds until the lease expires without a heartbeat.
        run_within_s: maximum run time of the attempt, seconds; None if unlimited.
        policy: policy of the tenant when the attempt began; the executor applies it once more.
        images: images reserved for the job; storing more requires ``RESERVE_IMAGES``.
        frames_per_image: frames of an animation or video that count as one image.
        extra_data: additional data for the nodes (ComfyUI's ``extra_data``).
        request_id: id of the request that submitted the job, to find it in logs.
        free_memory: the job ran out of memory before: have the node unload its models and clear its cache first.
        renewed: the attempt was assigned to the node before, so that its prompt may be there.
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
    request_id: str | None = None
    renewed: bool = False
    free_memory: bool = False


class WorkReply(TolerantModel):
    """The assigned attempt, or None if there is no work."""

    assignment: Assignment | None


class StartAttempt(StrictModel):
    """Report that the node accepted the prompt."""

    ref: AttemptRef


OUT_OF_MEMORY = "node.out_of_memory"
"""Error code of an attempt that failed because the GPU ran out of memory. The node is at fault, not the workflow."""


class Outcome(StrEnum):
    """How an attempt ended on its node."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"  # caused by the workflow: not retried
    NODE_FAULT = "node_fault"  # caused by the node: retried on another node
    CANCELLED = "cancelled"  # stopped on request
    RELEASED = "released"  # handed back, not run or not to its end: queued again, does not count as a try


class FinishAttempt(StrictModel):
    """Report how an attempt ended. Resent until there is a reply; only the lease holder's report has an effect.

    Attributes:
        gpu_seconds: time that the node spent on the attempt, seconds.
        images: stored images. At most the reserved number counts.
        node_died: whether the node stopped responding or stopped running the job. A job to which this happens twice
            is not retried.
        node_failed: the device of the node failed, or the node lost the prompt. A job to which this happens on
            two nodes is not retried.
        warnings: warnings for the owner of the job.
        request: request for the next attempt, handled once the end is committed. Its ``wait_s`` is ignored: the
            scheduler does not wait for work.
    """

    ref: AttemptRef
    outcome: Outcome
    outputs: tuple[Output, ...] = ()
    error: JobError | None = None
    gpu_seconds: Annotated[float, Field(ge=0)] = 0
    images: Annotated[int, Field(ge=0)] = 0
    node_died: bool = False
    node_failed: bool = False
    warnings: Annotated[tuple[JobWarning, ...], Field(max_length=20)] = ()
    request: RequestWork | None = None


class ReserveImages(StrictModel):
    """Reserve more images for the job of a live attempt before storing them.

    Attributes:
        images: total that the job needs, so that a repeated request has no further effect.
    """

    ref: AttemptRef
    images: Annotated[int, Field(ge=0, le=1_000_000)]


class ImagesReserved(TolerantModel):
    """The images reserved for the job; fewer than requested if the daily quota is used up.

    Attributes:
        applied: False if the lease is lost or the job has ended; then nothing may be stored.
    """

    images: int
    applied: bool


class AttemptWriteReply(TolerantModel):
    """Whether the write was applied.

    False means that the lease is lost: stop the attempt. The start of an attempt whose job has ended is not applied
    either.
    """

    applied: bool


class FinishReply(AttemptWriteReply):
    """Whether the end was applied, and the attempt that was requested with it.

    Attributes:
        assignment: the leased attempt; None if no work was requested, or if there is no work.
    """

    assignment: Assignment | None = None


REQUEST_WORK = declare_scheduler_rpc(
    "attempt",
    "ask",
    RequestWork,
    WorkReply,
    "An executor requests work.",
    producers=("executor",),
    key="node",
    timeout_s=7.0,
)
CANCEL_WORK_REQUESTS = Topic(
    kind=MessageKind.CMD,
    owner="scheduler",
    noun="asks",
    verb="cancel",
    key="node",
    payload=CancelWorkRequests,
    description="An executor that is being stopped cancels its waiting requests for work.",
    producers=("executor",),
    consumers=("scheduler",),
)
START_ATTEMPT = declare_scheduler_rpc(
    "attempt",
    "start",
    StartAttempt,
    AttemptWriteReply,
    "The node accepted the prompt.",
    producers=("executor",),
    key="node",
)
FINISH_ATTEMPT = declare_scheduler_rpc(
    "attempt", "finish", FinishAttempt, FinishReply, "An attempt ended.", producers=("executor",), key="node"
)
RESERVE_IMAGES = declare_scheduler_rpc(
    "images",
    "reserve",
    ReserveImages,
    ImagesReserved,
    "Reserve more images for a running job.",
    producers=("executor",),
    key="node",
)

TOPICS = (REQUEST_WORK, CANCEL_WORK_REQUESTS, START_ATTEMPT, FINISH_ATTEMPT, RESERVE_IMAGES)
