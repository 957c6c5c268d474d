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

SAMPLE = 20  # keys in a report
LOGGED = 3  # keys in a log line


@dataclass(frozen=True, slots=True)
class SweepRules:
    """Limits of a sweep for orphaned objects.

    Attributes:
        every: interval between two sweeps, of all gateways together. A gateway's first sweep is a full interval after
            its start.
        min_age: minimum age of orphans; longer than any write takes.
        deletes: whether orphans are deleted; otherwise they are only reported.
    """

    every: timedelta
    min_age: timedelta
    deletes: bool


@dataclass(slots=True)
class _OrphanCount:
    objects: int = 0
    orphans: int = 0
    orphan_bytes: int = 0
    sample: list[str] = field(default_factory=list)


class OrphanSweeper:
    """Reports and deletes objects without a record. Objects with unknown names are never deleted.

    Args:
        record: knows the recorded files, and keeps the report.
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
        self._clock, self._not_before = clock, clock() + rules.every.total_seconds()

    async def sweep_if_due(self) -> None:
        """Sweep if the interval has passed, or if an admin allowed a deletion. Nothing happens without a pair."""
        if self._objects.status.pairing is not Pairing.PAIRED:
            return
        approved = await self._record.claim_approved_deletion() if self.rules.deletes else None
        is_due = self._clock() >= self._not_before and await self._record.claim_sweep(self.rules.every)
        if approved is None and not is_due:
            return
        await self._monitor.check_pairing()
        self._objects.status.require_pairing()
        await self._sweep(approved or 0)

    async def read_report(self) -> OrphanReport | None:
        """Return the report of the last sweep; None before the first one."""
        return await self._record.read_report()

    async def check_approval(self, count: int) -> None:
        """Refuse an order that ``approve`` cannot carry out.

        Raises:
            OrphansKept: deletion is switched off.
            OrphanCountDiffers: the last sweep found another number of orphans.
        """
        if not self.rules.deletes:
            raise OrphansKept
        report = await self._record.read_report()
        if report is None or report.orphans != count:
            raise OrphanCountDiffers(orphans=report.orphans if report else 0)

    async def approve(self, count: int) -> None:
        """Let the next sweep, within a minute, delete so many orphans."""
        await self._record.approve(count)

    async def _sweep(self, approved: int) -> None:
        survey = _OrphanCount()
        async for batch, orphans in self._find_orphans():
            survey.objects += len(batch)
            survey.orphans += len(orphans)
            survey.orphan_bytes += sum(one.size_bytes for one in orphans)
            survey.sample += [one.key for one in orphans[: SAMPLE - len(survey.sample)]]
        await self._record.write_report(
            objects=survey.objects, orphans=survey.orphans, orphan_bytes=survey.orphan_bytes, sample=survey.sample
        )
        limit = compute_deletion_limit(survey.objects)
        if not survey.orphans:
            return
        deletes = self.rules.deletes and survey.orphans <= max(limit, approved)
        log.warning(
            "gateway.orphans.found",
            count=survey.orphans,
            bytes=survey.orphan_bytes,
            objects=survey.objects,
            sample=survey.sample[:LOGGED],
            deleting=deletes,
        )
        if deletes:
            await self._delete_orphans(at_most=max(limit, approved))
        elif self.rules.deletes:
            log.error(
                "gateway.orphans.too_many",
                count=survey.orphans,
                limit=limit,
                reason="More orphans than one sweep deletes. Nothing was deleted. If they are really orphans, confirm "
                "their number: POST /api/v1/admin/artifact-store/delete-orphans",
            )

    async def _delete_orphans(self, *, at_most: int) -> None:
        """Look each one up again, and delete those that still have no record."""
        count = 0
        async for _, orphans in self._find_orphans():
            for one in orphans[: at_most - count]:
                self._objects.status.require_pairing()
                await self._objects.delete_listed(one)
                self._objects.status.orphans_deleted += 1
                count += 1
        log.warning("gateway.orphans.deleted", count=count)

    async def _find_orphans(self) -> AsyncIterator[tuple[list[ListedObject], list[ListedObject]]]:
        """All uploads and outputs in the store in batches, and those of each batch that are old and have no record."""
        before = datetime.now(UTC) - self.rules.min_age
        async for listed in self._objects.list_objects():
            ours = [(one, found) for one in listed if (found := parse_object_id(one.key)) is not None]
            known: set[UUID] = await self._record.known([found for _, found in ours]) if ours else set()
            orphans = [
                one for one, found in ours if one.modified_at < before and (one.is_partial or found not in known)
            ]
            yield [one for one, _ in ours], orphans
