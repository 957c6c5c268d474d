"""Checks whether the artifact store is paired with the database and has space."""

import asyncio
from contextlib import suppress
from uuid import UUID, uuid4

from chassis.telemetry.logs import log
from gateway.artifact_store.domain import (
    REASON_BY_FINDING,
    Finding,
    PairingFacts,
    StoreIdentity,
    decide_pairing,
    format_marker,
    parse_marker,
    parse_object_id,
)
from gateway.artifact_store.store import ArtifactStoreRecord
from gateway.storage.objects import ArtifactStore
from gateway.storage.status import Pairing

CHECK_TIMEOUT_S = 30.0  # a network disk can hang


class StoreMonitor:
    """Keeps the status of the artifact store up to date. Any number of gateways can do it at once."""

    def __init__(self, record: ArtifactStoreRecord, objects: ArtifactStore) -> None:
        self._record, self._objects, self._status = record, objects, objects.status
        self._was_short = False

    async def check_space_and_pairing(self) -> None:
        """Check the free space, then the pairing. If a check raises, its previous result stays."""
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await self._check_space()
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await self.check_pairing()

    async def check_pairing(self) -> None:
        """Compare the identities in the store and in the database. Pair an unused store with an unused database."""
        finding, identity = await self._compare_with_database()
        if finding is Finding.PAIRABLE:
            await self._record.record_pair(identity.store_id if identity else uuid4(), self._write_marker)
            finding, identity = await self._compare_with_database()
            log.info("gateway.store.paired", store_id=str(identity.store_id) if identity else None)
        self._apply_result(finding)
        if finding is Finding.PAIRED and identity is not None:
            confirmed = await self._record.confirm_identity(identity.store_id)
            if confirmed is not None and not self._status.shortage:
                await self._write_marker(confirmed)

    async def adopt_store(self) -> tuple[Finding, UUID | None]:
        """Pair the store and the database, regardless of what either was paired with, unless they are a pair already.

        Returns:
            What was found before, and the new id of the store; None if nothing had to change.
        """
        finding, _ = await self._compare_with_database()
        if finding is Finding.PAIRED:
            return finding, None
        store_id = uuid4()
        await self._record.replace_identity(store_id, self._write_marker)
        return finding, store_id

    async def _compare_with_database(self) -> tuple[Finding, StoreIdentity | None]:
        """Return the finding, and the identity in the marker."""
        content = await self._objects.read_marker()  # before the database, whose time is never behind the marker's
        marker = parse_marker(content) if content is not None else None
        recorded = await self._record.read_identity()
        is_damaged = content is not None and marker is None
        if is_damaged or recorded:
            return decide_pairing(PairingFacts(recorded, marker, is_damaged)), marker
        has_records, has_objects = await self._record.has_records(), await self._has_objects()
        matches = has_records and has_objects and marker is None and await self._has_newest_objects()
        return decide_pairing(PairingFacts(recorded, marker, is_damaged, has_records, has_objects, matches)), marker

    async def _has_objects(self) -> bool:
        async for batch in self._objects.list_objects():
            if any(parse_object_id(listed.key) for listed in batch):
                return True
        return False

    async def _has_newest_objects(self) -> bool:
        """Whether the store has most of the files that were recorded last; some may be purged at the moment."""
        keys = await self._record.list_newest_keys()
        found = [key for key in keys if await self._objects.find_size(key) is not None]
        return 2 * len(found) > len(keys)

    async def _write_marker(self, identity: StoreIdentity) -> None:
        await self._objects.write_marker(format_marker(identity))

    def _apply_result(self, finding: Finding) -> None:
        pairing = Pairing.PAIRED if finding is Finding.PAIRED else Pairing.MISMATCHED
        reason = REASON_BY_FINDING.get(finding, "")
        if pairing is Pairing.MISMATCHED and reason != self._status.mismatch_reason:
            log.error("gateway.store.mismatch", finding=finding, reason=reason)
        if pairing is Pairing.PAIRED and self._status.pairing is Pairing.MISMATCHED:
            log.info("gateway.store.mismatch_ended")
        self._status.pairing, self._status.mismatch_reason = pairing, reason

    async def _check_space(self) -> None:
        space = None
        with suppress(FileNotFoundError):  # the folder was deleted; check_pairing reports the missing marker
            space = await self._objects.measure_free_space()
        if space is not None:
            self._status.free_bytes, self._status.free_files = space.bytes, space.files
        if self._status.refuses_writes and await self._objects.can_write():
            self._status.refuses_writes = False
        shortage = self._status.shortage
        if shortage and not self._was_short:
            log.error("gateway.store.full", reason=shortage)
        if self._was_short and not shortage:
            log.info("gateway.store.has_space", free_bytes=self._status.free_bytes)
        self._was_short = bool(shortage)
