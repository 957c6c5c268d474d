"""Deletes all data of tenants whose account was erased.

Outputs are deleted with their jobs or here, whichever is first.
"""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

from obstore.exceptions import BaseError

from chassis.messaging.bus import Bus
from chassis.telemetry.logs import log
from contracts.auth.erasure import READ_ERASURES, ReadErasures
from contracts.wire.errors import RelayedRefusal, Unavailable
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

        While auth is unavailable, only the known ones are processed. A tenant whose files cannot be deleted remains for
        the next call, and does not stop the others.

        Raises:
            StoreNotPaired: the artifact store is not paired with the database.
            OSError, BaseError: files of some tenants could not be deleted; the error is that of the last one.
        """
        with suppress(Unavailable, RelayedRefusal):
            while await self._read_erasures():
                pass
        failed = 0
        last_error: Exception | None = None
        for tenant_id, erased_at in list(self._pending.items()):
            self._objects.status.require_pairing()
            try:
                await self._objects.delete_folder(str(tenant_id))
            except (OSError, BaseError) as error:
                failed, last_error = failed + 1, error
                continue
            await self._erasures.delete_tenant(tenant_id)
            if erased_at < self._now - REPEAT_FOR:
                del self._pending[tenant_id]
        if last_error is not None:
            log.warning("gateway.erasures.files_not_deleted", tenants=failed, error=str(last_error))
            raise last_error

    async def _read_erasures(self) -> bool:
        """Read the next page of erasures. Return whether there are more."""
        page = await self._bus.request(READ_ERASURES, ReadErasures(after=self._after))
        self._pending |= {erasure.tenant_id: erasure.at for erasure in page.erasures}
        self._now = page.now
        self._after = max((erasure.number for erasure in page.erasures), default=self._after)
        return page.more
