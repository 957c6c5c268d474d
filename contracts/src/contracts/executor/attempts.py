"""Hints that an executor receives about its attempt."""

from uuid import UUID

from contracts.wire.model import TolerantModel
from contracts.wire.topic import Topic, Traffic


class CancelAttempt(TolerantModel):
    """Hint to stop this attempt now. A lost hint is repeated by the next heartbeat reply."""

    job_id: UUID
    attempt: int


CANCEL_ATTEMPT = Topic(
    kind=Traffic.CMD,
    owner="executor",
    noun="attempt",
    verb="cancel",
    key="node",
    payload=CancelAttempt,
    description="Stop an attempt now.",
    producers=("scheduler",),
    consumers=("executor",),
)

TOPICS = (CANCEL_ATTEMPT,)
