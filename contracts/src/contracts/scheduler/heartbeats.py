"""Reports about a node from its executor: heartbeats and catalogs."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.scheduler.attempts import MAX_NODE_ATTEMPTS, AttemptRef, AttemptWriteReply
from contracts.scheduler.rpc import declare_scheduler_rpc
from contracts.wire.model import StrictModel, TolerantModel
from contracts.wire.text import LongText, ShortText


class OccupancyCause(StrEnum):
    """Why a node that responds cannot take jobs."""

    FOREIGN_PROMPT = "foreign_prompt"  # a prompt of another client is in the node's queue
    OWN_PROMPT = "own_prompt"  # the prompt of an ended attempt does not stop
    DEAD_WORKER = "dead_worker"  # ComfyUI queues prompts and runs none: only a restart helps
    STORAGE = "storage"  # outputs of the current attempt wait for the artifact store, which is full or unavailable
    JOURNAL = "journal"  # the executor's journal cannot be written; schedulers of earlier versions refuse this cause


class ReportedOccupancy(StrictModel):
    """Why a node cannot take jobs at the moment.

    Attributes:
        prompt_id: id, on the node, of the prompt that occupies it; None if unknown.
        seconds: seconds since the executor first saw this prompt, since the outputs began to wait, or since the
            journal could not be written.
        blocked: whether it has lasted longer than ``EXECUTOR_BLOCKED_AFTER_S``; an operator should check the node.
    """

    by: OccupancyCause
    prompt_id: ShortText | None = None
    seconds: Annotated[float, Field(ge=0)]
    blocked: bool


MAX_GPUS = 16

Bytes = Annotated[int, Field(ge=0, le=2**53)]


class Gpu(TolerantModel):
    """A GPU of a node, as ComfyUI reports it."""

    name: ShortText
    memory_total_bytes: Bytes
    memory_free_bytes: Bytes


class NodeSystem(TolerantModel):
    """Software and hardware of a node. ``comfyui_version`` is None if ComfyUI does not report it."""

    executor_version: ShortText
    comfyui_version: ShortText | None = None
    gpus: Annotated[tuple[Gpu, ...], Field(max_length=MAX_GPUS)] = ()


class Heartbeat(StrictModel):
    """Periodic report of an executor, every few seconds.

    Attributes:
        online: whether its ComfyUI responds.
        catalog_digest: digest of the node's catalog; the scheduler requests the catalog if the digest is new.
        attempt: current attempt, whose lease this heartbeat renews.
        other_attempt: another attempt of this executor, whose lease it renews too: one that starts after the current
            one, or one whose outputs are being stored.
        further_attempts: further attempts of this executor, whose leases it renews too. Sent only if there are any,
            because schedulers of earlier versions refuse the field.
        left_node: job ids of all reported attempts whose prompt has ended; their outputs or results are still being
            sent. The field is sent only if there are any, because schedulers of earlier versions refuse the field.
        progress: progress of the current attempt in percent.
        graph_node, graph_node_class: node of the graph that the attempt runs now; None if unknown.
        loaded: model files of the node's newest prompt, as ``Class.input=file``; empty if it failed, and after the node
            was offline or ran prompts of other clients.
        foreign_prompts: number of other clients' prompts in the node's queue; while there are any, the executor
            requests no work.
        occupied: why the node cannot take jobs; None if it can.
        cleared, refreshed: request time of the newest "clear" and "refresh" command that is done.
        system: software and hardware of the node, at most a minute old.
    """

    boot_id: UUID
    online: bool
    catalog_digest: ShortText | None
    attempt: AttemptRef | None
    other_attempt: AttemptRef | None = None
    further_attempts: Annotated[
        tuple[AttemptRef, ...], Field(max_length=MAX_NODE_ATTEMPTS - 2, exclude_if=lambda refs: not refs)
    ] = ()
    left_node: Annotated[tuple[UUID, ...], Field(max_length=MAX_NODE_ATTEMPTS, exclude_if=lambda ids: not ids)] = ()
    progress: float = 0
    graph_node: ShortText | None = None
    graph_node_class: ShortText | None = None
    loaded: Annotated[tuple[LongText, ...], Field(max_length=100)] = ()
    foreign_prompts: Annotated[int, Field(ge=0)] = 0
    occupied: ReportedOccupancy | None = None
    cleared: AwareDatetime | None = None
    refreshed: AwareDatetime | None = None
    system: NodeSystem | None = None


class LeaseState(StrEnum):
    """State of the lease that the heartbeat reported."""

    NONE = "none"  # the heartbeat had no attempt
    KEPT = "kept"
    LOST = "lost"  # another attempt took over or the job ended: stop and change nothing
    CANCELLED = "cancelled"  # stop the prompt and report that


class HeartbeatReply(TolerantModel):
    """The reply to a heartbeat.

    Attributes:
        lease, other_lease: states of the leases of ``attempt`` and ``other_attempt``.
        further_leases: states of the leases of ``further_attempts``, in the same order.
        max_attempts: how many attempts the executor may have at a time, of which at most one waits for the node.
        clear: when an operator requested that prompts of others be removed from the node; None if done.
        refresh: when an operator requested that the node's catalog be reloaded; None if done.
    """

    lease: LeaseState
    other_lease: LeaseState = LeaseState.NONE
    further_leases: tuple[LeaseState, ...] = ()
    max_attempts: Annotated[int, Field(ge=1)] = 2
    catalog_wanted: bool
    clear: datetime | None = None
    refresh: datetime | None = None


class ReportCatalog(StrictModel):
    """The catalog of a node.

    It is JSON of {class: ClassSpec}, zlib-compressed, in base64, with the SHA-256 of that JSON in hex.
    """

    digest: ShortText
    classes_zlib: str


HEARTBEAT = declare_scheduler_rpc(
    "node",
    "beat",
    Heartbeat,
    HeartbeatReply,
    "An executor sends a heartbeat, which renews its lease.",
    producers=("executor",),
    key="node",
    timeout_s=2.0,
)
REPORT_CATALOG = declare_scheduler_rpc(
    "node",
    "report",
    ReportCatalog,
    AttemptWriteReply,
    "Report the node classes that a node can run.",
    producers=("executor",),
    key="node",
)

TOPICS = (HEARTBEAT, REPORT_CATALOG)
