"""Models and node classes of the fleet."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from contracts.catalog import ClassSpec
from contracts.scheduler.rpc import declare_scheduler_rpc
from contracts.wire.model import StrictModel, TolerantModel


class ReadFleet(StrictModel):
    """Get the models and nodes of the fleet, restricted to what the tenant in the subject may use, if there is one."""


class Fleet(TolerantModel):
    """What the recently seen nodes can run.

    Attributes:
        models: model files by loader input: most common first, then those that nodes have loaded.
        default_models: checkpoints for submissions that name no model, best first.
    """

    models: dict[str, tuple[str, ...]]
    default_models: tuple[str, ...] = ()
    classes: tuple[str, ...]
    nodes: tuple["NodeSummary", ...]


class NodeSummary(TolerantModel):
    """A node in the fleet overview."""

    node: str
    online: bool
    seen_at: datetime
    job_id: UUID | None


class ReadClasses(StrictModel):
    """List node classes by name: those that the tenant in the subject may use, or all without a tenant.

    Attributes:
        name: return only this class.
        after: the last name of the previous page.
        refused: include classes that the tenant may not use.
    """

    name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    after: Annotated[str, Field(max_length=200)] | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 100
    refused: bool = False


class FleetClass(TolerantModel):
    """A node class, merged over the fleet: an input has the options of all nodes, at most 1,000.

    Attributes:
        refused: why the tenant may not use it, and who can allow it; None if it may.
    """

    name: str
    spec: ClassSpec
    refused: str | None = None


class ClassPage(TolerantModel):
    """A page of node classes, at most 256 KiB or a single class. ``more`` is true if another page follows."""

    classes: tuple[FleetClass, ...]
    more: bool


READ_FLEET = declare_scheduler_rpc(
    "fleet", "read", ReadFleet, Fleet, "Read which models and node classes the fleet can run.", timeout_s=1.2
)
READ_CLASSES = declare_scheduler_rpc(
    "classes", "read", ReadClasses, ClassPage, "List node classes and their inputs.", timeout_s=1.8
)

TOPICS = (READ_FLEET, READ_CLASSES)
