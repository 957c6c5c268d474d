"""Verifies and exports the audit log."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auth.domain.audit_chain import ChainVerifier
from auth.store import audit, audit_archives
from auth.usecases.archive_audit import ARCHIVED_ACTION, verify_archives
from chassis.database.postgres import Database


@dataclass(frozen=True, slots=True)
class ChainVerification:
    """Result of verifying the hash chain.

    Attributes:
        valid_count: number of valid entries, those in archives not included.
        archived_id: last entry in an archive, from whose hash the chain continues; 0 without archives.
        last_hash: hash of the last valid entry. Noted elsewhere, it reveals a truncated log.
        broken_id: first entry that was changed or whose predecessor was removed; None when the log is intact.
    """

    valid_count: int
    archived_id: int
    last_hash: str
    broken_id: int | None


async def verify_chain(database: Database) -> ChainVerification:
    """Verify the chain, from the last archive if there is one, until it ends or breaks.

    An archive that no audit log entry names counts as a break: something else deleted entries.
    """
    async with database.single() as connection:
        archives = await audit_archives.list_archives(connection)
        newest = archives[-1] if archives else None
        chain = ChainVerifier(newest.last_id, newest.last_hash) if newest else ChainVerifier()
        start, broken, is_recorded = chain.last_id, None, newest is None
        async for entry, hash_ in audit.iterate_entries(connection, after=start):
            if not chain.verify_next(entry, hash_):
                broken = entry.id
                break
            if newest and entry.action == ARCHIVED_ACTION:
                is_recorded = is_recorded or entry.detail.get("last_hash") == newest.last_hash.hex()
    if broken is None and not is_recorded:
        broken = start + 1
    return ChainVerification(chain.verified_count, start, chain.last_hash.hex(), broken)


async def verify_files(database: Database, folder: Path) -> int:
    """Verify the archives in ``folder``; returns the number of their entries.

    Raises:
        ArchiveDamaged: says which file is missing or was changed.
    """
    async with database.single() as connection:
        archives = await audit_archives.list_archives(connection)
    return await asyncio.to_thread(verify_archives, archives, folder)


async def export_entries(database: Database) -> AsyncIterator[dict[str, Any]]:
    """Yield every entry as JSON with its hash, oldest first."""
    async with database.single() as connection:
        async for entry, hash_ in audit.iterate_entries(connection):
            yield entry.as_json() | {"hash": hash_.hex()}
