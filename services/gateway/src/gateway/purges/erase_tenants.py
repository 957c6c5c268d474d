"""Deletes all data of tenants whose account was erased.

Outputs are deleted with their jobs or here, whichever is first.
"""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

from chassis.messaging.bus import Bus
from contracts.auth.erasure import READ_ERASURES, ReadErasures
from contracts.wire.errors import RelayedRefusal, Unavailable
from gateway.purges.erasure_store import ErasureStore
from gateway.storage.objects import ArtifactStore

LATE = timedelta(hours=1)  # by then, everything that was in transit when the account was erased has arrived


class TenantEraser:
    """Reads erased tenants from auth, and deletes their files, uploads and saved workflows.

    A new process starts with the first erasure ever, so that none is missed while a service was down or after a
    database was restored from a backup. Erasures of the last hour are repeated.
    """

    def __init__(self, bus: Bus, erasures: ErasureStore, objects: ArtifactStore) -> None:
        self._bus, self._erasures, self._objects = bus, erasures, objects
        self._after = 0
        self._pending: dict[UUID, datetime] = {}
        self._now = datetime.min.replace(tzinfo=UTC)

    async def erase_pending(self) -> None:
        """Read new erasures and process all pending ones.

        While auth is unavailable, only the known ones are processed.
        """
        with suppress(Unavailable, RelayedRefusal):
            while await self._read_erasures():
                pass
        if self._pending:
            self._objects.status.require_pairing()
        for tenant_id, at in list(self._pending.items()):
            await self._objects.delete_under(str(tenant_id))
            await self._erasures.delete_tenant(tenant_id)
            if at < self._now - LATE:
                del self._pending[tenant_id]

    async def _read_erasures(self) -> bool:
        """Read the next erasures; whether there are more."""
        found = await self._bus.request(READ_ERASURES, ReadErasures(after=self._after))
        self._pending |= {one.tenant_id: one.at for one in found.erasures}
        self._now = found.now
        self._after = max((one.number for one in found.erasures), default=self._after)
        return found.more
