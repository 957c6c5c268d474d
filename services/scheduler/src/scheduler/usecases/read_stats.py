"""How does the fleet do?"""

import asyncio
from time import monotonic

from chassis.database.postgres import Database
from contracts.auth.tiers import Tier
from contracts.scheduler.statistics import NodeCounts, Stats, Throughput, TierQueue, Waits
from scheduler.store import stats

FRESH_S = 2.0  # so often at most the database is asked, however many look
MINUTES = (1, 5, 60)


class StatsReader:
    """Counts what is live and recent. The answer is kept for ``FRESH_S``, and many who ask share one question."""

    def __init__(self, database: Database, *, online_s: float) -> None:
        self._database, self._online_s = database, online_s
        self._kept: Stats | None = None
        self._until = 0.0
        self._asking = asyncio.Lock()

    async def read(self) -> Stats:
        """The statistics."""
        async with self._asking:
            if self._kept is None or monotonic() >= self._until:
                self._kept = await self._count()
                self._until = monotonic() + FRESH_S
            return self._kept

    async def _count(self) -> Stats:
        async with self._database.direct() as connection:  # one time for all of it
            queue = {row["tier"]: row for row in await stats.queue(connection)}
            nodes = await stats.nodes(connection, online_s=self._online_s)
            hour = await stats.hour(connection)
            failures = await stats.failures(connection)
        return Stats(
            at=nodes["now"],
            queue=tuple(TierQueue(**queue[tier]) if tier in queue else _idle(tier) for tier in Tier),
            nodes=NodeCounts(**nodes),
            throughput=tuple(
                Throughput(minutes=minutes, jobs=hour[f"jobs_{minutes}"], images=hour[f"images_{minutes}"])
                for minutes in MINUTES
            ),
            waits=Waits(p50_s=hour["p50_s"], p95_s=hour["p95_s"]),
            failures=failures,
        )


def _idle(tier: Tier) -> TierQueue:
    return TierQueue(tier=tier, waiting=0, held=0, running=0, oldest_wait_s=None)
