"""Finds objects without a record: uploads and outputs whose write, deletion or purge was interrupted.

They are recognized by their age and by having no row. A wrong or restored database makes every object look like that,
so a sweep only reports unless deletion is switched on, and deletes many of them only after an admin's confirmation.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from chassis.telemetry.logs import log
from gateway.artifact_store.domain import compute_deletion_limit, parse_object_id
from gateway.artifact_store.errors import OrphanCountDiffers, OrphansKept
from gateway.artifact_store.service import StoreMonitor
from gateway.artifact_store.store import ArtifactStoreRecord, OrphanReport
from gateway.storage.objects import ArtifactStore, ListedObject
from gateway.storage.status import Pairing

MAX_SAMPLE = 20  # keys in a report
MAX_LOGGED = 3  # keys in a log line


@dataclass(frozen=True, slots=True)
class SweepRules:
    """Limits of a sweep for orphaned objects.

    Attributes:
        interval: time between two sweeps, of all gateways together. A gateway's first sweep is a full interval after
            its start.
        min_age: minimum age of orphans; longer than any write takes.
        delete_orphans: whether orphans are deleted; otherwise they are only reported.
    """

    interval: timedelta
    min_age: timedelta
    delete_orphans: bool


@dataclass(slots=True)
class _OrphanCounts:
    objects: int = 0
    orphans: int = 0
    orphan_bytes: int = 0
    sample: list[str] = field(default_factory=list)


class OrphanSweeper:
    """Reports or deletes stored objects that no database record refers to (orphans).

    Only objects whose names have the form that the gateway gives them are considered.

    Args:
        record: has the ids of the recorded files, and stores the report.
        objects: the artifact store.
        monitor: compares the store with the database once more before a sweep.
        rules: when a sweep takes place and what it may do.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        record: ArtifactStoreRecord,
        objects: ArtifactStore,
        monitor: StoreMonitor,
        rules: SweepRules,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._record, self._objects, self._monitor, self.rules = record, objects, monitor, rules
        self._clock, self._not_before = clock, clock() + rules.interval.total_seconds()

    async def sweep_if_due(self) -> None:
        """Sweep if the interval has passed or an admin approved a deletion.

        Do nothing unless the store is known to be paired with the database.
        """
        if self._objects.status.pairing is not Pairing.PAIRED:
            return
        approved = await self._record.claim_approved_deletion() if self.rules.delete_orphans else None
        is_due = self._clock() >= self._not_before and await self._record.claim_sweep(self.rules.interval)
        if approved is None and not is_due:
            return
        await self._monitor.check_pairing()
        self._objects.status.require_pairing()
        await self._sweep(approved or 0)

    async def read_report(self) -> OrphanReport | None:
        """Return the report of the last sweep; None before the first one."""
        return await self._record.read_report()

    async def check_deletion_count(self, count: int) -> None:
        """Refuse a number that ``approve_deletion`` must not get.

        Raises:
            OrphansKept: deletion is switched off.
            OrphanCountDiffers: the last sweep found another number of orphans.
        """
        if not self.rules.delete_orphans:
            raise OrphansKept
        report = await self._record.read_report()
        if report is None or report.orphans != count:
            raise OrphanCountDiffers(orphans=report.orphans if report else 0)

    async def approve_deletion(self, count: int) -> None:
        """Allow the next sweep, within a minute, to delete ``count`` orphans."""
        await self._record.approve_deletion(count)

    async def _sweep(self, approved: int) -> None:
        found = _OrphanCounts()
        async for batch, orphans in self._find_orphans():
            found.objects += len(batch)
            found.orphans += len(orphans)
            found.orphan_bytes += sum(orphan.size_bytes for orphan in orphans)
            found.sample += [orphan.key for orphan in orphans[: MAX_SAMPLE - len(found.sample)]]
        await self._record.write_report(
            objects=found.objects, orphans=found.orphans, orphan_bytes=found.orphan_bytes, sample=found.sample
        )
        limit = compute_deletion_limit(found.objects)
        if not found.orphans:
            return
        may_delete = self.rules.delete_orphans and found.orphans <= max(limit, approved)
        log.warning(
            "gateway.orphans.found",
            count=found.orphans,
            bytes=found.orphan_bytes,
            objects=found.objects,
            sample=found.sample[:MAX_LOGGED],
            deleting=may_delete,
        )
        if may_delete:
            await self._delete_orphans(limit=max(limit, approved))
        elif self.rules.delete_orphans:
            log.error(
                "gateway.orphans.too_many",
                count=found.orphans,
                limit=limit,
                reason="More orphans than one sweep deletes. Nothing was deleted. If they are really orphans, confirm "
                "their number: POST /api/v1/admin/artifact-store/delete-orphans",
            )

    async def _delete_orphans(self, *, limit: int) -> None:
        """Find the orphans again, and delete up to ``limit`` of them."""
        count = 0
        async for _, orphans in self._find_orphans():
            for orphan in orphans[: limit - count]:
                self._objects.status.require_pairing()
                await self._objects.delete_listed(orphan)
                self._objects.status.orphans_deleted += 1
                count += 1
        log.warning("gateway.orphans.deleted", count=count)

    async def _find_orphans(self) -> AsyncIterator[tuple[list[ListedObject], list[ListedObject]]]:
        """Yield the uploads and outputs in the store in batches, and the orphans of each batch."""
        before = datetime.now(UTC) - self.rules.min_age
        async for listed in self._objects.list_objects():
            files = [(file, file_id) for file in listed if (file_id := parse_object_id(file.key)) is not None]
            recorded: set[UUID] = (
                await self._record.find_recorded_ids([file_id for _, file_id in files]) if files else set()
            )
            orphans = [
                file
                for file, file_id in files
                if file.modified_at < before and (file.is_partial or file_id not in recorded)
            ]
            yield [file for file, _ in files], orphans
