"""Statistics of the fleet and of storage."""

import asyncio
from dataclasses import asdict

from chassis.messaging.bus import Bus
from contracts.scheduler.statistics import READ_STATS, ReadStats
from gateway.admin.operation_schemas import StatsBody, StorageBody, StoredBody, build_stats_body
from gateway.admin.storage_store import StorageTotals
from gateway.caching import StaleWhileRevalidateCache

STORAGE_FRESH_S = 60.0  # reading the totals takes long


class StatsView:
    """Combines the scheduler's statistics with storage totals, which are cached for ``STORAGE_FRESH_S``."""

    def __init__(self, bus: Bus, storage: StorageTotals) -> None:
        self._bus, self._storage = bus, storage
        self._storage_totals: StaleWhileRevalidateCache[StorageBody] = StaleWhileRevalidateCache(STORAGE_FRESH_S)

    async def read_stats(self, admin: str) -> StatsBody:
        stats, totals = await asyncio.gather(
            self._bus.request(READ_STATS, ReadStats(), tenant=admin), self._storage_totals.get(self._count_storage)
        )
        return build_stats_body(stats, totals)

    async def _count_storage(self, _within_s: float | None) -> StorageBody:
        artifacts, uploads = await self._storage.sum_artifacts(), await self._storage.sum_uploads()
        return StorageBody(artifacts=StoredBody(**asdict(artifacts)), uploads=StoredBody(**asdict(uploads)))
