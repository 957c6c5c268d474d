"""Verifies and exports the audit log."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from auth.domain.audit_chain import Chain
from auth.store import audit
from chassis.database.postgres import Database


@dataclass(frozen=True, slots=True)
class ChainVerification:
    """Result of verifying the hash chain.

    Attributes:
        whole: number of valid entries from the beginning.
        last_hash: hash of the last valid entry. Noted elsewhere, it reveals a truncated log.
        broken_id: first entry that was changed or whose predecessor was removed; None when the log is intact.
    """

    whole: int
    last_hash: str
    broken_id: int | None


async def verify(database: Database) -> ChainVerification:
    """Verify the chain until it ends or breaks."""
    chain, broken = Chain(), None
    async with database.single() as connection:
        async for link, hash_ in audit.entries(connection):
            if not chain.follows(link, hash_):
                broken = link.id
                break
    return ChainVerification(chain.count, chain.last.hex(), broken)


async def export(database: Database) -> AsyncIterator[dict[str, Any]]:
    """Yield every entry as JSON with its hash, oldest first."""
    async with database.single() as connection:
        async for link, hash_ in audit.entries(connection):
            yield link.as_json() | {"hash": hash_.hex()}
