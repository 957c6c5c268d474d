"""Reads statistics of queue, nodes and throughput for operators."""

import asyncio
from collections.abc import Mapping
from time import monotonic

from chassis.database.postgres import Database
from chassis.database.statement import Row
from contracts.auth.tiers import Tier
from contracts.scheduler.statistics import EtaAccuracy, NodeCounts, Stats, Throughput, TierQueue, Waits
from scheduler.domain.eta_accuracy import Accuracy, EtaStage, measure_accuracy
from scheduler.store import estimates, stats

FRESH_S = 2.0  # how long the statistics are cached
MINUTES = (1, 5, 60)


class StatsReader:
    """Computes statistics. Cached for ``FRESH_S`` seconds; concurrent callers share one computation."""

    def __init__(self, database: Database, *, offline_after_s: float) -> None:
        self._database, self._offline_after_s = database, offline_after_s
        self._cached: Stats | None = None
        self._until = 0.0
        self._lock = asyncio.Lock()

    async def read_stats(self) -> Stats:
        async with self._lock:
            if self._cached is None or monotonic() >= self._until:
                self._cached = await self._compute_stats()
                self._until = monotonic() + FRESH_S
            return self._cached

    async def _compute_stats(self) -> Stats:
        async with (
            self._database.transaction() as connection
        ):  # one transaction, so that all numbers are of the same time
            queue = {Tier(row["tier"]): row for row in await stats.count_queue(connection)}
            nodes = await stats.count_nodes(connection, offline_after_s=self._offline_after_s)
            hour = await stats.measure_recent_throughput_and_waits(connection)
            failures = await stats.count_failures(connection)
            accuracy = measure_accuracy(await estimates.list_accuracy(connection))
        return Stats(
            at=nodes["now"],
            queue=build_tier_queues(queue),
            nodes=NodeCounts(**nodes),
            throughput=tuple(
                Throughput(minutes=minutes, jobs=hour[f"jobs_{minutes}"], images=hour[f"images_{minutes}"])
                for minutes in MINUTES
            ),
            waits=Waits(p50_s=hour["p50_s"], p95_s=hour["p95_s"]),
            failures=failures,
            eta_start=_build_accuracy(accuracy.get(EtaStage.START)),
            eta_end=_build_accuracy(accuracy.get(EtaStage.END)),
        )


def build_tier_queues(counted: Mapping[Tier, Row]) -> tuple[TierQueue, ...]:
    """Build the queue of every tier from the rows of ``stats.count_queue``, which leave out idle tiers."""
    return tuple(
        TierQueue(**counted[tier])
        if tier in counted
        else TierQueue(tier=tier, waiting=0, held=0, running=0, oldest_wait_s=None)
        for tier in Tier
    )


def _build_accuracy(found: Accuracy | None) -> EtaAccuracy | None:
    return EtaAccuracy(**found._asdict()) if found else None
