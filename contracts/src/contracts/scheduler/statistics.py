"""Statistics of the queue and the nodes, for operators."""

from datetime import datetime

from contracts.auth.tiers import Tier
from contracts.scheduler.rpc import declare_scheduler_rpc
from contracts.wire.model import StrictModel, TolerantModel


class ReadStats(StrictModel):
    """Get statistics of the queue and the nodes."""


class TierQueue(TolerantModel):
    """Waiting and running jobs of one tier. ``oldest_wait_s`` is None if no job waits."""

    tier: Tier
    waiting: int
    held: int
    running: int
    oldest_wait_s: float | None


class NodeCounts(TolerantModel):
    """Number of nodes in each state. ``working`` nodes hold an attempt."""

    total: int
    online: int
    working: int
    cordoned: int
    draining: int
    blocked: int = 0


class Throughput(TolerantModel):
    """Jobs that ended, with any outcome, in the last ``minutes`` minutes, and their images."""

    minutes: int
    jobs: int
    images: int


class Waits(TolerantModel):
    """Waiting time, in seconds, of jobs that ended in the last hour; None if there are none."""

    p50_s: float | None
    p95_s: float | None


class EtaAccuracy(TolerantModel):
    """Accuracy of the estimates made at submission, for a sample of jobs that succeeded in the last 24 hours.

    Attributes:
        within_p50, within_p90: share of the jobs that took no longer than the estimated median, and than the estimated
            90th percentile.
        ratio_p50, ratio_p90: percentiles of actual / estimated median time, with a second added to both times.
    """

    jobs: int
    within_p50: float
    within_p90: float
    ratio_p50: float
    ratio_p90: float


class Stats(TolerantModel):
    """Statistics of the fleet, cached for some seconds. ``failures`` counts error codes of the last 24 hours.

    ``eta_start`` and ``eta_end``: accuracy of the estimated time to the start and to the end of a job; None if there
    are no jobs with estimates.
    """

    at: datetime
    queue: tuple[TierQueue, ...]
    nodes: NodeCounts
    throughput: tuple[Throughput, ...]
    waits: Waits
    failures: dict[str, int]
    eta_start: EtaAccuracy | None = None
    eta_end: EtaAccuracy | None = None


READ_STATS = declare_scheduler_rpc("stats", "read", ReadStats, Stats, "Read statistics of the queue and the nodes.")

TOPICS = (READ_STATS,)
