"""Is the audit log as it was written, and what does it say?"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from auth.domain.audit_chain import Chain
from auth.store import audit
from chassis.database.postgres import Database


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a walk along the chain found.

    Attributes:
        whole: entries from the first on that are as they were written.
        last_hash: of the last of these: who noted it elsewhere finds out whether the end was cut off.
        broken_id: the first entry that was changed, or that follows one which was removed; None where all is well.
    """

    whole: int
    last_hash: str
    broken_id: int | None


async def verify(database: Database) -> Verdict:
    """Walk the chain until it ends or breaks."""
    chain, broken = Chain(), None
    async with database.single() as connection:
        async for link, hash_ in audit.entries(connection):
            if not chain.follows(link, hash_):
                broken = link.id
                break
    return Verdict(chain.count, chain.last.hex(), broken)


async def export(database: Database) -> AsyncIterator[dict[str, Any]]:
    """Every entry as JSON with its hash, oldest first."""
    async with database.single() as connection:
        async for link, hash_ in audit.entries(connection):
            yield link.as_json() | {"hash": hash_.hex()}
