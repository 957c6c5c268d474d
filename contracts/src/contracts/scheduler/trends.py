"""Statistics of the fleet over time, for operators."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field

from contracts.scheduler.rpc import declare_scheduler_rpc
from contracts.wire.model import StrictModel, TolerantModel

MAX_HOURS = 31 * 24
MAX_BUCKETS = 500
STEPS_S = (60, 300, 600, 900, 1800, 3600, 7200, 21_600, 43_200, 86_400)


class ReadTrends(StrictModel):
    """Get totals of a window in buckets.

    Attributes:
        hours: length of the window that ends at ``end``, if ``start`` is None.
        start, end: start and end of the window; ``end`` None means now. A window longer than ``MAX_HOURS`` is cut at
            its start.
        step_s: length of a bucket, rounded up to one of ``STEPS_S``, and further if there would be more than
            ``MAX_BUCKETS``; None chooses one that gives at most 120.
    """

    hours: Annotated[float, Field(gt=0, le=MAX_HOURS)] = 24
    start: AwareDatetime | None = None
    end: AwareDatetime | None = None
    step_s: Annotated[int, Field(ge=60, le=86_400)] | None = None


class TrendCounts(TolerantModel):
    """What happened in a period.

    Attributes:
        submitted, completed, failed, cancelled: number of jobs. Expired ones count as failed.
        started: number of attempts that started, retries included.
        images: images of jobs that ended.
        wait_p50_s, wait_p95_s: time from the submission to the newest attempt of jobs that ended and had one; within
            10 %. None if there are no such jobs.
        run_p50_s, run_p95_s: time from the newest attempt of these jobs to their end; within 10 %. None if there are
            no such jobs.
        busy_share: share of the time of online nodes in which they had an attempt, 0 to 1; None if unknown.
    """

    submitted: int = 0
    started: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    images: int = 0
    wait_p50_s: float | None = None
    wait_p95_s: float | None = None
    run_p50_s: float | None = None
    run_p95_s: float | None = None
    busy_share: float | None = None


class TrendBucket(TrendCounts):
    """What happened from ``at`` until the next bucket."""

    at: datetime


class FailureCount(TolerantModel):
    """How many jobs failed with one error code. ``job_id``: the newest of them; None if it was deleted."""

    code: str
    count: int
    job_id: UUID | None


class NodeTrend(TolerantModel):
    """Attempts on a node. ``failed``: because of their workflow; ``faults``: because of the node."""

    node: str
    started: int
    succeeded: int
    failed: int
    faults: int
    busy_share: float | None


class Trends(TolerantModel):
    """A window in buckets of equal length, oldest first, without gaps. The last one has not ended.

    Attributes:
        totals: what happened in the whole window.
        failures: the 50 most frequent error codes of the window.
        nodes: attempts by node, sorted by name, at most 1,000 nodes. They cover whole periods of 10 minutes or, if
            ``start`` is more than two days ago, whole hours.
    """

    start: datetime
    end: datetime
    step_s: int
    totals: TrendCounts
    buckets: tuple[TrendBucket, ...]
    failures: tuple[FailureCount, ...]
    nodes: tuple[NodeTrend, ...]


READ_TRENDS = declare_scheduler_rpc(
    "trends", "read", ReadTrends, Trends, "An operator reads statistics of the fleet over time."
)

TOPICS = (READ_TRENDS,)
