"""Nodes as operators see them, and actions on nodes."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import Field

from contracts.preview import Preview
from contracts.scheduler.heartbeats import NodeSystem, OccupancyCause
from contracts.scheduler.rpc import declare_scheduler_rpc
from contracts.wire.errors import ErrorKind, Refusal
from contracts.wire.model import StrictModel, TolerantModel

NodeName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


MAX_GRACE_S = 86_400.0


class NodeOccupancy(TolerantModel):
    """Why a node that responds cannot take jobs.

    Attributes:
        prompt_id: id of the prompt on the node; None if unknown.
        job_id: job whose attempt left the prompt behind, if it was posted by this system.
    """

    by: OccupancyCause
    prompt_id: str | None
    job_id: UUID | None = None
    since: datetime


class NodeState(StrEnum):
    """State of a node. If several apply, the first one in this order counts."""

    OFFLINE = "offline"  # no heartbeat within the duration of a lease, or its ComfyUI does not respond
    DRAINING = "draining"  # it gets no new work, and its running attempt will be moved to another node
    CORDONED = "cordoned"  # it gets no new work
    BLOCKED = "blocked"  # it has been occupied for so long that an operator should look at it
    OCCUPIED = "occupied"  # prompts of other clients, or another cause, keep it from taking jobs
    BUSY = "busy"  # it runs an attempt
    IDLE = "idle"  # it waits for work


class RunningJob(TolerantModel):
    """What a node runs now. Progress and graph node are as old as the last heartbeat.

    Attributes:
        started_at: when the node took the job.
        progress: percent, 0 to 99.
        graph_node, graph_node_class: the node of the graph that runs; None if unknown.
    """

    job_id: UUID
    tenant_id: UUID
    attempt: int
    workflow: str
    started_at: datetime
    progress: float
    graph_node: str | None = None
    graph_node_class: str | None = None


class NodeFault(TolerantModel):
    """An attempt that did not succeed on a node.

    Attributes:
        outcome: ``failed`` if its workflow is the cause, ``node_fault`` if the node is.
        node_died: whether the node stopped responding or stopped running the job.
        message: the error as a sentence, at most 200 characters.
    """

    at: datetime
    job_id: UUID
    attempt: int
    outcome: str
    node_died: bool
    code: str
    message: str


class NodeStatus(TolerantModel):
    """A node as operators see it.

    Attributes:
        online: whether it reported within the duration of a lease, and its ComfyUI responds.
        cordoned_at: since when it gets no new work; None if it is not cordoned.
        cordon_reason: why the scheduler cordoned it automatically; None if an operator did, or if it is not cordoned.
        drain_at: when its running attempt will be or was withdrawn.
        job_id, tenant_id, attempt, leased_at: job, tenant, number and time of the lease of its current attempt.
        blocked: whether it has been occupied for longer than its executor's limit; an operator should check it.
        occupied: why it cannot take jobs although it responds.
        state: None from a scheduler of the previous release.
        state_since: when its state began; None if unknown.
        running: what it runs now; None if it runs nothing.
        models: model files that its last prompt loaded, as ``Class.input=file``, at most 20; empty while it is offline.
        system: software and hardware, as last reported; None if its executor has not reported it.
        jobs_last_hour: jobs that succeeded on it in the last 60 minutes. Cached up to 10 s.
        faults: its newest failed attempts, newest first, at most 10. Cached up to 10 s.
    """

    node: str
    online: bool
    seen_at: datetime
    cordoned_at: datetime | None
    drain_at: datetime | None
    job_id: UUID | None
    tenant_id: UUID | None
    attempt: int | None
    leased_at: datetime | None
    blocked: bool = False
    occupied: NodeOccupancy | None = None
    state: NodeState | None = None
    state_since: datetime | None = None
    running: RunningJob | None = None
    models: tuple[str, ...] = ()
    system: NodeSystem | None = None
    jobs_last_hour: int = 0
    faults: tuple[NodeFault, ...] = ()
    cordon_reason: str | None = None


class ListNodes(StrictModel):
    """List every node that joined and was not forgotten."""


class Nodes(TolerantModel):
    """All nodes, sorted by name."""

    nodes: tuple[NodeStatus, ...]


class NodeAction(StrEnum):
    """An operator's action on a node. All are idempotent."""

    CORDON = "cordon"  # assign no new work; the running attempt continues
    UNCORDON = "uncordon"  # assign work again
    DRAIN = "drain"  # assign no new work; after the grace period the running attempt moves to another node
    FORGET = "forget"  # delete an offline node; if it comes back, it is a new node
    CLEAR = "clear"  # remove prompts of other clients from its queue, including a running one
    REFRESH = "refresh"  # reload its classes and models now


class RunNodeAction(StrictModel):
    """Apply an action to a node.

    Attributes:
        node: None for every node, with ``refresh`` only.
        grace_s: for ``drain``: how long the node's attempt may still run, seconds.
    """

    node: NodeName | None
    order: NodeAction
    grace_s: Annotated[float, Field(ge=0, le=MAX_GRACE_S)] = 0


class NodeActionReply(TolerantModel):
    """The node after the action; None if the action removed it or applied to every node."""

    node: NodeStatus | None


class UnknownNode(Refusal):
    """There is no such node. GET /api/v1/admin/nodes lists all."""

    kind, code = ErrorKind.NOT_FOUND, "node.not_found"


class NodeAlive(Refusal):
    """The node cannot be removed: it reported recently or still holds a job. Stop its executor first."""

    kind, code = ErrorKind.CONFLICT, "node.alive"


LIST_NODES = declare_scheduler_rpc("node", "list", ListNodes, Nodes, "An operator lists the nodes.")
RUN_NODE_ACTION = declare_scheduler_rpc(
    "node", "order", RunNodeAction, NodeActionReply, "An operator runs an action on a node."
)
PREVIEW_NODE_ACTION = declare_scheduler_rpc(
    "node", "preview", RunNodeAction, Preview, "An operator asks what an action on a node would do."
)

TOPICS = (LIST_NODES, RUN_NODE_ACTION, PREVIEW_NODE_ACTION)
