"""Bodies about the submission of a job, and its timeline."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from contracts.scheduler.jobs import STATUS_OF_STATE, JobError, JobEvent, JobStatus
from contracts.scheduler.search import AttemptSummary


class JobSubmissionBody(BaseModel):
    """What a job ran, and what to submit to run it again.

    Attributes:
        workflow: name of the built-in or saved workflow; ``custom`` for a graph.
        submission: body for ``POST /api/v1/jobs`` with the same seeds: ``prompt`` and the other fields of a built-in
            workflow; ``workflow_name``, ``version`` and ``parameters``; or ``workflow``. Includes ``labels`` and
            ``priority`` if set.
        graph: graph in API format, as it was accepted.
        extra_data: ``extra_data`` that was accepted with the graph, or null.
    """

    workflow: str
    submission: dict[str, Any]
    graph: dict[str, Any]
    extra_data: dict[str, Any] | None


class TimelineEventBody(BaseModel):
    """A transition of the job.

    Attributes:
        seq: number of the transition: from 1, without gaps.
        cause: ``submitted``, ``claimed``, ``started``, ``succeeded``, ``failed``, ``node_fault``, ``lease_lapsed``,
            ``attempts_exhausted``, ``poisoned``, ``cancelled``, ``start_time_passed``, ``held``, ``released`` or
            ``requeued``.
        attempt: number of attempts so far.
    """

    seq: int
    at: datetime
    status: JobStatus
    cause: str
    attempt: int
    error: JobError | None


class AttemptBody(BaseModel):
    """An attempt to run the job on a node.

    Attributes:
        started_at: when a node took the job.
        outcome: null while it runs, else ``succeeded``, ``failed``, ``cancelled``, ``node_fault`` (the node's fault, so
            the job is tried again), ``released`` (the node was stopped) or another reason.
        gpu_seconds: time on the node; null until the attempt has ended.
        error: why it failed, with node and class where they are known.
    """

    attempt: int
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None
    gpu_seconds: float | None
    error: JobError | None


class TimelineBody(BaseModel):
    """How a job went: its transitions and its attempts, oldest first."""

    events: list[TimelineEventBody]
    attempts: list[AttemptBody]


def build_timeline_body(events: Sequence[JobEvent], attempts: Sequence[AttemptSummary]) -> TimelineBody:
    return TimelineBody(
        events=[
            TimelineEventBody(
                seq=event.seq,
                at=event.at,
                status=STATUS_OF_STATE[event.state],
                cause=event.cause,
                attempt=event.attempt,
                error=event.error,
            )
            for event in events
        ],
        attempts=[
            AttemptBody(
                attempt=attempt.attempt,
                started_at=attempt.leased_at,
                ended_at=attempt.ended_at,
                outcome=attempt.outcome,
                gpu_seconds=attempt.gpu_seconds,
                error=attempt.error,
            )
            for attempt in attempts
        ],
    )
