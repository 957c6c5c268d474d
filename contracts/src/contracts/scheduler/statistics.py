"""Statistics of the queue and the nodes, for operators."""

from datetime import datetime

from contracts.auth.tiers import Tier
from contracts.scheduler.rpc import scheduler_rpc
from contracts.wire.model import StrictModel, TolerantModel


class ReadStats(StrictModel):
    """Ask how the fleet does."""


class TierQueue(TolerantModel):
    """What one tier's tenants have waiting and running; ``oldest_wait_s`` None where nothing waits."""

    tier: Tier
    waiting: int
    held: int
    running: int
    oldest_wait_s: float | None


class NodeCounts(TolerantModel):
    """How many nodes there are, and how many of them are so. ``working`` ones hold an attempt."""

    total: int
    online: int
    working: int
    cordoned: int
    draining: int
    blocked: int = 0


class Throughput(TolerantModel):
    """Jobs that ended in the last so many minutes, however, and the images that they made."""

    minutes: int
    jobs: int
    images: int


class Waits(TolerantModel):
    """Seconds that jobs waited which ended in the last hour; None where there is none."""

    p50_s: float | None
    p95_s: float | None


class Stats(TolerantModel):
    """How the fleet does, at most some seconds ago; ``failures`` counts error codes of 24 hours."""

    at: datetime
    queue: tuple[TierQueue, ...]
    nodes: NodeCounts
    throughput: tuple[Throughput, ...]
    waits: Waits
    failures: dict[str, int]


READ_STATS = scheduler_rpc("stats", "read", ReadStats, Stats, "Read statistics of the queue and the nodes.")

TOPICS = (READ_STATS,)
