"""What an executor reports of its node: heartbeats and catalogs."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.scheduler.attempts import AttemptRef, AttemptWriteReply
from contracts.scheduler.rpc import scheduler_rpc
from contracts.wire.model import StrictModel, TolerantModel
from contracts.wire.text import Message, Name


class OccupancyCause(StrEnum):
    """What keeps a node that answers from taking jobs."""

    FOREIGN_PROMPT = "foreign_prompt"  # somebody else's prompt is in the node's queue
    OWN_PROMPT = "own_prompt"  # the prompt of an attempt that has ended does not stop
    DEAD_WORKER = "dead_worker"  # ComfyUI queues prompts and runs none: only a restart helps


class ReportedOccupancy(StrictModel):
    """Why a node takes no jobs at the moment.

    Attributes:
        prompt_id: of the prompt that holds the node, as the node names it; None where it cannot be told.
        seconds: since the executor first saw this prompt there.
        blocked: it lasts longer than ``EXECUTOR_BLOCKED_AFTER_S``, so that somebody should look after the node.
    """

    by: OccupancyCause
    prompt_id: Name | None = None
    seconds: Annotated[float, Field(ge=0)]
    blocked: bool


class Heartbeat(StrictModel):
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
    occupied: ReportedOccupancy | None = None
    cleared: AwareDatetime | None = None
    refreshed: AwareDatetime | None = None


class LeaseState(StrEnum):
    """What a heartbeat learns about the attempt it named."""

    NONE = "none"  # it named none
    KEPT = "kept"
    LOST = "lost"  # another attempt took over or the job ended: stop, touch nothing
    CANCELLED = "cancelled"  # stop the prompt and say so


class HeartbeatReply(TolerantModel):
    """The answer to a heartbeat.

    Attributes:
        clear: when an operator ordered that prompts of others be removed from the node; None once that was done.
        refresh: when an operator ordered that the node's catalog be read again; None once that was done.
    """

    lease: LeaseState
    catalog_wanted: bool
    clear: datetime | None = None
    refresh: datetime | None = None


class ReportCatalog(StrictModel):
    """What a node can run: zlib-compressed JSON of {class: ClassSpec} in base64, and the SHA-256 of that JSON, hex."""

    digest: Name
    classes_zlib: str


HEARTBEAT = scheduler_rpc(
    "node",
    "beat",
    Heartbeat,
    HeartbeatReply,
    "An executor sends a heartbeat, which renews its lease.",
    producers=("executor",),
    key="node",
    timeout_s=2.0,
)
REPORT_CATALOG = scheduler_rpc(
    "node",
    "report",
    ReportCatalog,
    AttemptWriteReply,
    "Report the node classes that a node can run.",
    producers=("executor",),
    key="node",
)

TOPICS = (HEARTBEAT, REPORT_CATALOG)
