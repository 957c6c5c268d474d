"""How the fleet does, and how much is stored."""

import asyncio
from dataclasses import asdict

from chassis.messaging.bus import Bus
from contracts.scheduler.statistics import READ_STATS, ReadStats
from gateway.admin.operation_schemas import StatsBody, StorageBody, StoredBody, present_stats
from gateway.admin.storage_store import Storage
from gateway.caching import StaleWhileRevalidateCache

STORAGE_S = 60.0  # so long a count of what is stored is good: it reads every record


class StatsView:
    """Puts both together; what is stored is counted once a minute at most."""

    def __init__(self, bus: Bus, storage: Storage) -> None:
        self._bus, self._storage = bus, storage
        self._stored: StaleWhileRevalidateCache[StorageBody] = StaleWhileRevalidateCache(STORAGE_S)

    async def read(self, admin: str) -> StatsBody:
        """The statistics."""
        stats, stored = await asyncio.gather(
            self._bus.request(READ_STATS, ReadStats(), tenant=admin), self._stored.read(self._count)
        )
        return present_stats(stats, stored)

    async def _count(self, _within_s: float | None) -> StorageBody:
        artifacts, uploads = await self._storage.artifacts(), await self._storage.uploads()
        return StorageBody(artifacts=StoredBody(**asdict(artifacts)), uploads=StoredBody(**asdict(uploads)))
