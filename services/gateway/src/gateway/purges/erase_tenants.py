"""Nothing is left here of a tenant whose account was erased. Its jobs' outputs go with its jobs, or with this."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

from chassis.messaging.bus import Bus
from contracts.auth.erasure import READ_ERASURES, ReadErasures
from contracts.wire.errors import Relayed, Unavailable
from gateway.purges.erasure_store import Erasures
from gateway.storage.objects import Objects

LATE = timedelta(hours=1)  # what was on its way when an account was erased has arrived by then


class TenantEraser:
    """Asks auth who was erased, and forgets them: bytes, uploads, saved workflows.

    A fresh process asks about all that ever were, so that nobody is missed: not by a service that was away, nor by a
    database that came from a backup. Those of the last hour are done again and again.
    """

    def __init__(self, bus: Bus, erasures: Erasures, objects: Objects) -> None:
        self._bus, self._erasures, self._objects = bus, erasures, objects
        self._after = 0
        self._undone: dict[UUID, datetime] = {}
        self._now = datetime.min.replace(tzinfo=UTC)

    async def look(self) -> None:
        """One look. Without auth there is nothing new, and what was heard of goes on."""
        with suppress(Unavailable, Relayed):
            while await self._hear():
                pass
        for tenant_id, at in list(self._undone.items()):
            await self._objects.delete_under(str(tenant_id))
            await self._erasures.forget(tenant_id)
            if at < self._now - LATE:
                del self._undone[tenant_id]

    async def _hear(self) -> bool:
        """Hear who was erased since; whether there is more to hear."""
        found = await self._bus.request(READ_ERASURES, ReadErasures(after=self._after))
        self._undone |= {one.tenant_id: one.at for one in found.erasures}
        self._now = found.now
        self._after = max((one.number for one in found.erasures), default=self._after)
        return found.more
