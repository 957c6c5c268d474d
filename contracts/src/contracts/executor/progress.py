"""Progress of a running attempt."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from contracts.wire.model import TolerantModel
from contracts.wire.text import Name
from contracts.wire.topic import Topic, Traffic


class Progress(TolerantModel):
    """How far the running attempt of a job is. Lossy: only the latest matters.

    Attributes:
        progress: percent of the whole job, never less than before within an attempt; 100 comes only with success.
        value: steps done in the node that runs now.
        max: steps of that node.
        node: id of the node that runs now.
        nodes_done: nodes that need no more work, cached ones included.
        eta_seconds: a guess from the speed so far, None before there is one.
    """

    job_id: UUID
    attempt: int
    progress: Annotated[float, Field(ge=0, le=100)]
    value: float = 0
    max: float = 0
    node: Name | None = None
    node_class: Name | None = None
    nodes_done: int = 0
    nodes_total: int = 0
    eta_seconds: float | None = None
    at: datetime


PROGRESS = Topic(
    kind=Traffic.LIVE,
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
