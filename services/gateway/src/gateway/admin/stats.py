"""Statistics of the fleet and of storage."""

import asyncio
from dataclasses import asdict

from chassis.messaging.bus import Bus
from contracts.scheduler.statistics import READ_STATS, ReadStats
from gateway.admin.operation_schemas import StatsBody, StorageBody, StoredBody, present_stats
from gateway.admin.storage_store import StorageTotals
from gateway.caching import StaleWhileRevalidateCache

STORAGE_S = 60.0  # the count reads every record


class StatsView:
    """Combines the scheduler's statistics with storage totals, which are cached for ``STORAGE_S``."""

    def __init__(self, bus: Bus, storage: StorageTotals) -> None:
        self._bus, self._storage = bus, storage
        self._stored: StaleWhileRevalidateCache[StorageBody] = StaleWhileRevalidateCache(STORAGE_S)

    async def read_stats(self, admin: str) -> StatsBody:
        stats, stored = await asyncio.gather(
            self._bus.request(READ_STATS, ReadStats(), tenant=admin), self._stored.get(self._count_storage)
        )
        return present_stats(stats, stored)

    async def _count_storage(self, _within_s: float | None) -> StorageBody:
        artifacts, uploads = await self._storage.artifacts(), await self._storage.uploads()
        return StorageBody(artifacts=StoredBody(**asdict(artifacts)), uploads=StoredBody(**asdict(uploads)))
