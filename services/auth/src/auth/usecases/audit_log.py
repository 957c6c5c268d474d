"""Verifies and exports the audit log."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from auth.domain.audit_chain import ChainVerifier
from auth.store import audit
from chassis.database.postgres import Database


@dataclass(frozen=True, slots=True)
class ChainVerification:
    """Result of verifying the hash chain.

    Attributes:
        valid_count: number of valid entries from the beginning.
        last_hash: hash of the last valid entry. Noted elsewhere, it reveals a truncated log.
        broken_id: first entry that was changed or whose predecessor was removed; None when the log is intact.
    """

    valid_count: int
    last_hash: str
    broken_id: int | None


async def verify_chain(database: Database) -> ChainVerification:
    """Verify the chain until it ends or breaks."""
    chain, broken = ChainVerifier(), None
    async with database.single() as connection:
        async for entry, hash_ in audit.iterate_entries(connection):
            if not chain.verify_next(entry, hash_):
                broken = entry.id
                break
    return ChainVerification(chain.verified_count, chain.last_hash.hex(), broken)


async def export_entries(database: Database) -> AsyncIterator[dict[str, Any]]:
    """Yield every entry as JSON with its hash, oldest first."""
    async with database.single() as connection:
        async for entry, hash_ in audit.iterate_entries(connection):
            yield entry.as_json() | {"hash": hash_.hex()}
