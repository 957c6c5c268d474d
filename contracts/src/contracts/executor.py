"""Words that an executor owns: what it says while an attempt runs, and the hints that it takes."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from contracts.wire.model import Fact
from contracts.wire.text import Name
from contracts.wire.topic import Topic, Traffic


class Progress(Fact):
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


class CancelAttempt(Fact):
    """A hint to an executor: stop this attempt now rather than at the next heartbeat."""

    job_id: UUID
    attempt: int


PROGRESS = Topic(
    kind=Traffic.LIVE,
    owner="executor",
    noun="job",
    verb="progress",
    key="job",
    payload=Progress,
    says="how far a running job is",
    producers=("executor",),
    consumers=("gateway", "notifier", "outside"),
)
CANCEL_ATTEMPT = Topic(
    kind=Traffic.CMD,
    owner="executor",
    noun="attempt",
    verb="cancel",
    key="node",
    payload=CancelAttempt,
    says="stop this attempt now",
    producers=("scheduler",),
    consumers=("executor",),
)

TOPICS = (PROGRESS, CANCEL_ATTEMPT)
