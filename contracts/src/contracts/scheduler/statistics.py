"""Statistics of the queue and the nodes, for operators."""

from datetime import datetime

from contracts.auth.tiers import Tier
from contracts.scheduler.rpc import scheduler_rpc
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


class Stats(TolerantModel):
    """Statistics of the fleet, cached for some seconds. ``failures`` counts error codes of the last 24 hours."""

    at: datetime
    queue: tuple[TierQueue, ...]
    nodes: NodeCounts
    throughput: tuple[Throughput, ...]
    waits: Waits
    failures: dict[str, int]


READ_STATS = scheduler_rpc("stats", "read", ReadStats, Stats, "Read statistics of the queue and the nodes.")

TOPICS = (READ_STATS,)
