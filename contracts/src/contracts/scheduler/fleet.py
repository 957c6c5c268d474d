"""What the fleet can run: models and node classes."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from contracts.catalog import ClassSpec
from contracts.scheduler.rpc import scheduler_rpc
from contracts.wire.model import StrictModel, TolerantModel


class ReadFleet(StrictModel):
    """Ask what the fleet can run, for the tenant in the subject or, without one, at all."""


class Fleet(TolerantModel):
    """What the nodes that were seen lately can run.

    Attributes:
        models: model files by loader input: most common first, of equally common ones those that nodes have loaded.
        default_models: checkpoints that a submission without a model may run on, best first.
    """

    models: dict[str, tuple[str, ...]]
    default_models: tuple[str, ...] = ()
    classes: tuple[str, ...]
    nodes: tuple["NodeSummary", ...]


class NodeSummary(TolerantModel):
    """One node as the fleet sees it."""

    node: str
    online: bool
    seen_at: datetime
    job_id: UUID | None


class ReadClasses(StrictModel):
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


class FleetClass(TolerantModel):
    """A node class as the fleet has it: an input's options are those of all nodes, 1,000 at most.

    Attributes:
        refused: why the tenant may not use it, and who can allow it; None if it may.
    """

    name: str
    spec: ClassSpec
    refused: str | None = None


class ClassPage(TolerantModel):
    """A page of node classes, 256 KiB at most unless it is one class; ``more`` says whether another page follows."""

    classes: tuple[FleetClass, ...]
    more: bool


READ_FLEET = scheduler_rpc(
    "fleet", "read", ReadFleet, Fleet, "Read which models and node classes the fleet can run.", timeout_s=1.2
)
READ_CLASSES = scheduler_rpc(
    "classes", "read", ReadClasses, ClassPage, "List node classes and their inputs.", timeout_s=1.8
)

TOPICS = (READ_FLEET, READ_CLASSES)
