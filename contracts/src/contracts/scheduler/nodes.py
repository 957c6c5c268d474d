"""Nodes as operators see them, and actions on nodes."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

from pydantic import Field

from contracts.scheduler.heartbeats import OccupancyCause
from contracts.scheduler.rpc import scheduler_rpc
from contracts.wire.errors import Kind, Refusal
from contracts.wire.model import StrictModel, TolerantModel

NodeName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


MAX_GRACE_S = 86_400.0


class NodeOccupancy(TolerantModel):
    """What keeps a node that answers from taking jobs.

    Attributes:
        prompt_id: as the node names it; None where it cannot be told.
        job_id: whose attempt left the prompt, where it is one of ours.
    """

    by: OccupancyCause
    prompt_id: str | None
    job_id: UUID | None = None
    since: datetime


class NodeStatus(TolerantModel):
    """One node as operators see it.

    Attributes:
        online: it was heard of within a lease's time, and its ComfyUI answers.
        cordoned_at: since when it is given no new work; None where it is.
        drain_at: when its running attempt is taken from it, or was.
        job_id, tenant_id, attempt, leased_at: of the attempt that it holds.
        blocked: it has been occupied for longer than its executor's bound, so somebody should look after it.
        occupied: what keeps it from taking jobs although it answers.
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


class ListNodes(StrictModel):
    """Ask for every node that ever joined and was not forgotten."""


class Nodes(TolerantModel):
    """Every node, by name."""

    nodes: tuple[NodeStatus, ...]


class NodeAction(StrEnum):
    """What an operator has a node do. Each is so afterwards, whether by this order or before."""

    CORDON = "cordon"  # no new work; what runs there goes on
    UNCORDON = "uncordon"  # work again
    DRAIN = "drain"  # no new work, and what runs there goes elsewhere after the grace
    FORGET = "forget"  # it is long gone; one that comes back is new
    CLEAR = "clear"  # prompts of others are removed from its queue, the running one too
    REFRESH = "refresh"  # its classes and models are read again now


class RunNodeAction(StrictModel):
    """Order something of a node.

    Attributes:
        node: None for every node, with ``refresh`` only.
        grace_s: goes with ``drain``: how long the node's attempt may still run.
    """

    node: NodeName | None
    order: NodeAction
    grace_s: Annotated[float, Field(ge=0, le=MAX_GRACE_S)] = 0


class NodeActionReply(TolerantModel):
    """The node as it stands then; None once it is forgotten, and where the order was for every node."""

    node: NodeStatus | None


class UnknownNode(Refusal):
    """There is no such node. GET /api/v1/admin/nodes lists all."""

    kind, code = Kind.NOT_FOUND, "node.not_found"


class NodeAlive(Refusal):
    """The node reported recently or still holds a job. Stop its executor first."""

    kind, code = Kind.CONFLICT, "node.alive"


LIST_NODES = scheduler_rpc("node", "list", ListNodes, Nodes, "An operator lists the nodes.")
RUN_NODE_ACTION = scheduler_rpc(
    "node", "order", RunNodeAction, NodeActionReply, "An operator runs an action on a node."
)

TOPICS = (LIST_NODES, RUN_NODE_ACTION)
