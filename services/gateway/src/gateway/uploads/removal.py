"""Uploads go: by wish, by age, and what was left of them where somebody was killed half-way.

The row goes first, then the bytes: what is listed is there. Bytes that stay behind are found by their age and by having
no row, whatever left them: a gateway that died between the two, a write that never ended, a purge that was cut short.
"""

import re
from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from chassis.telemetry.logs import log
from contracts.wire.errors import FieldError, Relayed, Unavailable
from gateway.errors import UploadInUse
from gateway.storage.objects import Objects
from gateway.uploads.ended_jobs import EndedJobs
from gateway.uploads.own_uploads import upload_id_of
from gateway.uploads.store import Uploads, Use
from gateway.uploads.sweep_store import Expired, UploadSweep

BATCH = 100
NAMED = 10  # jobs in a refusal

_ID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_OURS = re.compile(rf"{_ID}/(?:uploads|{_ID}/\d+)/({_ID})")


class UploadRemover:
    """Removes one upload for its tenant."""

    def __init__(self, uploads: Uploads, objects: Objects, ended: EndedJobs) -> None:
        self._uploads, self._objects, self._ended = uploads, objects, ended

    async def remove(self, text: str, *, tenant: str) -> None:
        """Delete it, with its bytes.

        Raises:
            UnknownUpload: there is none, or it is somebody else's.
            UploadInUse: a job that has not ended uses it.
            Unavailable, Relayed: a job uses it, and whether that has ended cannot be found out now.
        """
        upload_id = upload_id_of(text)
        outcome = await self._uploads.delete(tenant, upload_id)
        if not isinstance(outcome, str) and not await self._ended.still_held(outcome):
            outcome = await self._uploads.delete(tenant, upload_id)
        if not isinstance(outcome, str):
            raise UploadInUse(errors=_named(outcome))
        await self._objects.delete(outcome)


class UploadSweeper:
    """Removes what is due, of all tenants. Any number of gateways may do it at once.

    Args:
        sweep: finds it.
        objects: where the bytes are.
        ended: knows which jobs hold an upload.
        orphan_age: how old bytes without a row are when they go; longer than anything takes to be written.
    """

    def __init__(self, sweep: UploadSweep, objects: Objects, ended: EndedJobs, *, orphan_age: timedelta) -> None:
        self._sweep, self._objects, self._ended, self._orphan_age = sweep, objects, ended, orphan_age

    async def expire(self) -> None:
        """Delete uploads whose time is over, but for those that a job holds."""
        last: Expired | None = None
        while page := await self._sweep.expired(after=last, at_most=BATCH):
            last = page[-1]
            await self._let_go({use for one in page for use in one.uses})
            keys = await self._sweep.delete([one.id for one in page])
            for key in keys:
                await self._objects.delete(key)
            if keys:
                log.info("gateway.uploads.expired", count=len(keys))

    async def _let_go(self, uses: set[Use]) -> None:
        try:
            await self._ended.still_held(uses)
        except (Unavailable, Relayed):
            log.warning("gateway.uploads.held_on", count=len(uses))  # until somebody says that their jobs have ended

    async def collect_orphans(self) -> None:
        """Delete old bytes that no row tells of. Files whose names are not of ours stay."""
        count = await self._objects.delete_halves(self._orphan_age)
        async for keys in self._objects.old(self._orphan_age):
            ids = {UUID(match[1]): key for key in keys if (match := _OURS.fullmatch(key))}
            for one in ids.keys() - await self._sweep.known([*ids]):
                await self._objects.delete(ids[one])
                count += 1
        if count:
            log.warning("gateway.orphans.deleted", count=count)


def _named(uses: Iterable[Use]) -> tuple[FieldError, ...]:
    return tuple(
        FieldError(code="job_not_ended", message=f"Job {use.job_id} has not ended.") for use in list(uses)[:NAMED]
    )
