"""Progress of a running attempt."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from contracts.wire.model import TolerantModel
from contracts.wire.text import ShortText
from contracts.wire.topic import MessageKind, Topic


class Progress(TolerantModel):
    """Progress of a job's running attempt. Delivery is not guaranteed; only the latest message matters.

    Attributes:
        progress: percent of the whole job. It never decreases within an attempt; only success reports 100.
        value: completed steps of the current graph node.
        max: total steps of the current graph node.
        node: id of the current graph node.
        nodes_done: graph nodes that are complete, cached ones included.
        eta_seconds: estimate from the speed so far; None before there is one.
    """

    job_id: UUID
    attempt: int
    progress: Annotated[float, Field(ge=0, le=100)]
    value: float = 0
    max: float = 0
    node: ShortText | None = None
    node_class: ShortText | None = None
    nodes_done: int = 0
    nodes_total: int = 0
    eta_seconds: float | None = None
    at: datetime


PROGRESS = Topic(
    kind=MessageKind.LIVE,
    owner="executor",
    noun="job",
    verb="progress",
    key="job",
    payload=Progress,
    description="Progress of a running job.",
    producers=("executor",),
    consumers=("gateway", "notifier", "outside"),
)

TOPICS = (PROGRESS,)
