"""Deletes all data of tenants whose account was erased.

Outputs are deleted with their jobs or here, whichever is first.
"""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

from chassis.messaging.bus import Bus
from contracts.auth.erasure import READ_ERASURES, ReadErasures
from contracts.wire.errors import Relayed, Unavailable
from gateway.purges.erasure_store import ErasureStore
from gateway.storage.objects import ArtifactStore

REPEAT_FOR = timedelta(hours=1)  # data that was in transit when the account was erased arrives within this time


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
        with suppress(Unavailable, Relayed):
            while await self._read_erasures():
                pass
        if self._pending:
            self._objects.status.require_pairing()
        for tenant_id, erased_at in list(self._pending.items()):
            await self._objects.delete_folder(str(tenant_id))
            await self._erasures.delete_tenant(tenant_id)
            if erased_at < self._now - REPEAT_FOR:
                del self._pending[tenant_id]

    async def _read_erasures(self) -> bool:
        """Read the next page of erasures. Return whether there are more."""
        page = await self._bus.request(READ_ERASURES, ReadErasures(after=self._after))
        self._pending |= {erasure.tenant_id: erasure.at for erasure in page.erasures}
        self._now = page.now
        self._after = max((erasure.number for erasure in page.erasures), default=self._after)
        return page.more
