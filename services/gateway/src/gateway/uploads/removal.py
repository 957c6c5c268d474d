"""Deletes uploads on request and on expiry, and files without a record.

The row is deleted first, then the file, so every listed upload exists. Files that stay behind (a gateway died in
between, a write or a purge was interrupted) are recognized by their age and by having no row.
"""

import re
from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from chassis.telemetry.logs import log
from contracts.wire.errors import FieldError, Relayed, Unavailable
from gateway.storage.objects import ArtifactStore
from gateway.uploads.ended_jobs import EndedJobs
from gateway.uploads.errors import UploadInUse
from gateway.uploads.own_uploads import parse_upload_id
from gateway.uploads.store import UploadStore, UploadUse
from gateway.uploads.sweep_store import Expired, UploadSweepStore

BATCH = 100
NAMED = 10  # jobs listed in a refusal

_ID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_OURS = re.compile(rf"{_ID}/(?:uploads|{_ID}/\d+)/({_ID})")


class UploadRemover:
    """Deletes one upload for its tenant."""

    def __init__(self, uploads: UploadStore, objects: ArtifactStore, ended: EndedJobs) -> None:
        self._uploads, self._objects, self._ended = uploads, objects, ended

    async def remove_upload(self, text: str, *, tenant: str) -> None:
        """Delete the upload and its file.

        Raises:
            UnknownUpload: the tenant has no such upload.
            UploadInUse: a job that has not ended uses it.
            Unavailable, Relayed: a job uses it, and the scheduler does not answer whether it has ended.
        """
        upload_id = parse_upload_id(text)
        outcome = await self._uploads.delete(tenant, upload_id)
        if not isinstance(outcome, str) and not await self._ended.still_used(outcome):
            outcome = await self._uploads.delete(tenant, upload_id)
        if not isinstance(outcome, str):
            raise UploadInUse(errors=_uses_as_errors(outcome))
        await self._objects.delete(outcome)


class UploadSweeper:
    """Deletes expired uploads and orphaned files of all tenants. Any number of gateways can do it at once.

    Args:
        sweep: finds expired uploads.
        objects: the artifact store.
        ended: knows which jobs still use an upload.
        orphan_age: minimum age of files without a row to be deleted; longer than any write takes.
    """

    def __init__(
        self, sweep: UploadSweepStore, objects: ArtifactStore, ended: EndedJobs, *, orphan_age: timedelta
    ) -> None:
        self._sweep, self._objects, self._ended, self._orphan_age = sweep, objects, ended, orphan_age

    async def expire(self) -> None:
        """Delete expired uploads that no job uses."""
        last: Expired | None = None
        while page := await self._sweep.expired(after=last, at_most=BATCH):
            last = page[-1]
            await self._let_go({use for one in page for use in one.uses})
            keys = await self._sweep.delete([one.id for one in page])
            for key in keys:
                await self._objects.delete(key)
            if keys:
                log.info("gateway.uploads.expired", count=len(keys))

    async def _let_go(self, uses: set[UploadUse]) -> None:
        try:
            await self._ended.still_used(uses)
        except (Unavailable, Relayed):
            log.warning(
                "gateway.uploads.held_on", count=len(uses)
            )  # until the scheduler says that their jobs have ended

    async def collect_orphans(self) -> None:
        """Delete old files without a row. Files with unknown names are kept."""
        count = await self._objects.delete_partial_files(self._orphan_age)
        async for keys in self._objects.list_older_than(self._orphan_age):
            ids = {UUID(match[1]): key for key in keys if (match := _OURS.fullmatch(key))}
            for one in ids.keys() - await self._sweep.known([*ids]):
                await self._objects.delete(ids[one])
                count += 1
        if count:
            log.warning("gateway.orphans.deleted", count=count)


def _uses_as_errors(uses: Iterable[UploadUse]) -> tuple[FieldError, ...]:
    return tuple(
        FieldError(code="job_not_ended", message=f"Job {use.job_id} has not ended.") for use in list(uses)[:NAMED]
    )
