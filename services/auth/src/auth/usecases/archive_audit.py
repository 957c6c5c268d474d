"""Moves old entries of the audit log to files. The hash chain continues from file to file and into the table."""

import asyncio
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

from auth.domain.audit_chain import ChainEntry, ChainVerifier
from auth.store import audit, audit_archives
from auth.store.audit import NewAuditEntry
from auth.store.audit_archives import ARCHIVED_ENTRIES, AuditArchive
from chassis.database.postgres import Database
from chassis.telemetry.logs import log

MAX_ENTRIES = 50_000  # per file, which then has about 20 MB
ARCHIVED_ACTION = "audit.archived"


class ArchiveDamaged(Exception):
    """An archive is missing, was changed, or does not continue the one before it."""


class AuditArchiver:
    """Writes entries older than ``age`` to files in ``folder``, then deletes them from the table.

    A file is durable before its entries are deleted, and is recorded in ``audit_archives`` and in the audit log itself,
    so that entries deleted without a record are noticed. Several replicas may run it; one at a time archives.
    """

    def __init__(self, database: Database, folder: Path, *, age: timedelta, max_entries: int = MAX_ENTRIES) -> None:
        self._database, self._folder, self._age, self._max_entries = database, folder, age, max_entries

    async def tick(self) -> None:
        await self.archive_old_entries()

    async def archive_old_entries(self) -> int:
        """Archive and delete old entries; returns their number. Verifies the chain first.

        Raises:
            ArchiveDamaged: an entry was changed or is missing; nothing is deleted.
            OSError: the folder cannot be written.
        """
        count = 0
        while archived := await self._archive_batch():
            count += archived
        await ARCHIVED_ENTRIES.delete(self._database)  # including those that a killed process did not delete
        return count

    async def _archive_batch(self) -> int:
        async with self._database.direct() as connection:
            if not await audit_archives.try_lock_archives(connection):
                return 0
            archives = await audit_archives.list_archives(connection)
            chain = ChainVerifier(archives[-1].last_id, archives[-1].last_hash) if archives else ChainVerifier()
            entries = await audit_archives.list_old_entries(
                connection, after=chain.last_id, age=self._age, limit=self._max_entries
            )
            if not entries:
                return 0
            for entry, hash_ in entries:
                if not chain.verify_next(entry, hash_):
                    raise ArchiveDamaged(f"entry {entry.id} was changed, or one before it was removed")
            # Named after the first entry, so that a repetition after a crash replaces the same file.
            name = f"audit-{entries[0][0].id:012d}.jsonl"
            digest = await asyncio.to_thread(_write_durably, self._folder / name, entries)
            archive = AuditArchive(entries[0][0].id, chain.last_id, chain.last_hash, name, digest)
            await audit_archives.add_archive(connection, archive)
            detail = {
                "first_id": archive.first_id,
                "last_id": archive.last_id,
                "last_hash": archive.last_hash.hex(),
                "file": name,
                "sha256": digest.hex(),
            }
            await audit.append_entry(connection, NewAuditEntry(ARCHIVED_ACTION, detail=detail))
        log.info("auth.audit.archived", file=name, entries=len(entries))
        return len(entries)


def verify_archives(archives: Sequence[AuditArchive], folder: Path) -> int:
    """Verify every file, and that each continues the one before it; returns the number of their entries.

    Raises:
        ArchiveDamaged: says which file is missing or was changed.
    """
    chain = ChainVerifier()
    for archive in archives:
        try:
            for entry, hash_ in _read_entries(folder / archive.file):
                if not chain.verify_next(entry, hash_):
                    raise ArchiveDamaged(f"{archive.file}: entry {entry.id} was changed, or one before it was removed")
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise ArchiveDamaged(f"{archive.file} cannot be read: {error}") from error
        if (chain.last_id, chain.last_hash) != (archive.last_id, archive.last_hash):
            raise ArchiveDamaged(f"{archive.file} ends with entry {chain.last_id}, not with {archive.last_id}")
    return chain.verified_count


def _write_durably(path: Path, entries: Sequence[tuple[ChainEntry, bytes]]) -> bytes:
    """Write one entry per line under a temporary name, flush, and rename; returns the SHA-256 of the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial, digest = path.with_suffix(".partial"), hashlib.sha256()
    with partial.open("wb") as file:
        for entry, hash_ in entries:
            line = json.dumps(entry.as_json() | {"hash": hash_.hex()}).encode() + b"\n"
            digest.update(line)
            file.write(line)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return digest.digest()


def _read_entries(path: Path) -> Iterator[tuple[ChainEntry, bytes]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            body = json.loads(line)
            yield ChainEntry.from_json(body), bytes.fromhex(body["hash"])
