"""Attempts: how an executor gets work and reports on it."""

from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from contracts.graph_policy.policy import TenantPolicy
from contracts.scheduler.jobs import JobError, JobWarning
from contracts.scheduler.outputs import Output
from contracts.scheduler.rpc import scheduler_rpc
from contracts.wire.model import StrictModel, TolerantModel


class AttemptRef(StrictModel):
    """The right to write about one attempt: nothing with an old ``lease_token`` changes anything."""

    job_id: UUID
    tenant_id: UUID
    attempt: int
    lease_token: UUID


class RequestWork(StrictModel):
    """An idle executor asks for work. Asking again before the attempt ended gives the same attempt again.

    Attributes:
        wait_s: how long the scheduler may keep the question before it answers that there is none.
    """

    boot_id: UUID
    wait_s: Annotated[float, Field(ge=0, le=30)]


class Assignment(TolerantModel):
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


class WorkReply(TolerantModel):
    """The answer to an ask."""

    assignment: Assignment | None


class StartAttempt(StrictModel):
    """The node has taken the prompt."""

    ref: AttemptRef


class Outcome(StrEnum):
    """How an attempt ended on its node."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"  # the workflow's fault: never tried again
    NODE_FAULT = "node_fault"  # the node's fault: tried again elsewhere
    CANCELLED = "cancelled"  # stopped because it was asked for


class FinishAttempt(StrictModel):
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


class ReserveImages(StrictModel):
    """Ask for more images than are reserved for the job of a live attempt, before they are stored.

    Attributes:
        images: that the job needs in all, so that asking again changes nothing.
    """

    ref: AttemptRef
    images: Annotated[int, Field(ge=0, le=1_000_000)]


class ImagesReserved(TolerantModel):
    """What is reserved for the job now: less than was asked for where the day's quota has no more.

    Attributes:
        applied: False where the lease is gone or the job has ended; then nothing may be stored.
    """

    images: int
    applied: bool


class AttemptWriteReply(TolerantModel):
    """Whether the write was the lease holder's. False means: stop. Nor is a start applied of a job that has ended."""

    applied: bool


REQUEST_WORK = scheduler_rpc(
    "attempt",
    "ask",
    RequestWork,
    WorkReply,
    "An idle executor requests work.",
    producers=("executor",),
    key="node",
    timeout_s=7.0,
)
START_ATTEMPT = scheduler_rpc(
    "attempt",
    "start",
    StartAttempt,
    AttemptWriteReply,
    "The node accepted the prompt.",
    producers=("executor",),
    key="node",
)
FINISH_ATTEMPT = scheduler_rpc(
    "attempt", "finish", FinishAttempt, AttemptWriteReply, "An attempt ended.", producers=("executor",), key="node"
)
RESERVE_IMAGES = scheduler_rpc(
    "images",
    "reserve",
    ReserveImages,
    ImagesReserved,
    "Reserve more images for a running job.",
    producers=("executor",),
    key="node",
)

TOPICS = (REQUEST_WORK, START_ATTEMPT, FINISH_ATTEMPT, RESERVE_IMAGES)
