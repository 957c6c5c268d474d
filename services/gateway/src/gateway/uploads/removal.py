"""Deletes uploads on request and on expiry.

The row is deleted first, then the file, so every listed upload exists. If a gateway dies in between, the sweep of
``artifact_store.orphans`` finds the file.
"""

from collections.abc import Iterable

from chassis.telemetry.logs import log
from contracts.wire.errors import FieldError, RelayedRefusal, Unavailable
from gateway.storage.objects import ArtifactStore
from gateway.storage.status import Pairing
from gateway.uploads.errors import UploadInUse
from gateway.uploads.store import UploadStore, UploadUse
from gateway.uploads.sweep_store import ExpiredUpload, UploadSweepStore
from gateway.uploads.tenant_uploads import parse_upload_id
from gateway.uploads.unpin_ended_jobs import EndedJobUnpinner

BATCH = 100
MAX_LISTED_JOBS = 10  # jobs listed in a refusal


class UploadRemover:
    """Deletes one upload for its tenant."""

    def __init__(self, uploads: UploadStore, objects: ArtifactStore, unpinner: EndedJobUnpinner) -> None:
        self._uploads, self._objects, self._unpinner = uploads, objects, unpinner

    async def remove_upload(self, text: str, *, tenant: str) -> None:
        """Delete the upload and its file.

        Raises:
            UnknownUpload: the tenant has no such upload.
            UploadInUse: a job that has not ended uses it.
            Unavailable, RelayedRefusal: a job uses it, and the scheduler does not answer whether it has ended.
            StoreNotPaired: the artifact store is not paired with the database.
        """
        upload_id = parse_upload_id(text)
        self._objects.status.require_pairing()
        outcome = await self._uploads.delete_unless_used(tenant, upload_id)
        if not isinstance(outcome, str) and not await self._unpinner.unpin_ended(outcome):
            outcome = await self._uploads.delete_unless_used(tenant, upload_id)
        if not isinstance(outcome, str):
            raise UploadInUse(errors=_build_use_errors(outcome))
        await self._objects.delete(outcome)


class UploadSweeper:
    """Deletes expired uploads of all tenants. Any number of gateways can do it at once.

    Args:
        sweep: finds expired uploads.
        objects: the artifact store.
        unpinner: unpins the uploads of ended jobs.
    """

    def __init__(self, sweep: UploadSweepStore, objects: ArtifactStore, unpinner: EndedJobUnpinner) -> None:
        self._sweep, self._objects, self._unpinner = sweep, objects, unpinner

    async def delete_expired(self) -> None:
        """Delete expired uploads that no job uses.

        Do nothing unless the store is known to be paired with the database.
        """
        if self._objects.status.pairing is not Pairing.PAIRED:
            return
        last: ExpiredUpload | None = None
        while page := await self._sweep.list_expired(after=last, limit=BATCH):
            last = page[-1]
            await self._unpin_ended_jobs({use for upload in page for use in upload.uses})
            keys = await self._sweep.delete_unused([upload.id for upload in page])
            for key in keys:
                await self._objects.delete(key)
            if keys:
                log.info("gateway.uploads.expired", count=len(keys))

    async def _unpin_ended_jobs(self, uses: set[UploadUse]) -> None:
        try:
            await self._unpinner.unpin_ended(uses)
        except (Unavailable, RelayedRefusal):
            # They stay until the scheduler reports that their jobs have ended.
            log.warning("gateway.uploads.still_pinned", count=len(uses))


def _build_use_errors(uses: Iterable[UploadUse]) -> tuple[FieldError, ...]:
    return tuple(
        FieldError(code="job_not_ended", message=f"Job {use.job_id} has not ended.")
        for use in list(uses)[:MAX_LISTED_JOBS]
    )
