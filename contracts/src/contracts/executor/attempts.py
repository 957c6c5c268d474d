"""Hints that an executor receives about its attempts."""

from uuid import UUID

from contracts.wire.model import TolerantModel
from contracts.wire.topic import MessageKind, Topic


class CancelAttempt(TolerantModel):
    """Hint to stop this attempt now. A lost hint is repeated by the next heartbeat reply."""

    job_id: UUID
    attempt: int


class ReleaseAttempt(TolerantModel):
    """Hint to hand this attempt back if it has not started: another node could start it now.

    If the hint is lost, the executor hands the attempt back after ``EXECUTOR_PREFETCH_HOLD_S``.
    """

    job_id: UUID
    attempt: int


CANCEL_ATTEMPT = Topic(
    kind=MessageKind.CMD,
    owner="executor",
    noun="attempt",
    verb="cancel",
    key="node",
    payload=CancelAttempt,
    description="Stop an attempt now.",
    producers=("scheduler",),
    consumers=("executor",),
)

RELEASE_ATTEMPT = Topic(
    kind=MessageKind.CMD,
    owner="executor",
    noun="attempt",
    verb="release",
    key="node",
    payload=ReleaseAttempt,
    description="Hand back an attempt that has not started.",
    producers=("scheduler",),
    consumers=("executor",),
)

TOPICS = (CANCEL_ATTEMPT, RELEASE_ATTEMPT)
