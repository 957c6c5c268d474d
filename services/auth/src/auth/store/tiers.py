from collections.abc import Mapping
from typing import Any

from chassis.database.statement import Connection, Row, Statement
from contracts.auth.tiers import Limits, Tier, TierLimits

_LIMITS = ", ".join(Limits.model_fields)
_LIST = Statement(f"SELECT name, {_LIMITS} FROM tiers")  # noqa: S608 - constants only
_FIND = Statement(f"SELECT name, {_LIMITS} FROM tiers WHERE name = :name")  # noqa: S608 - constants only
_LOCK = Statement(f"SELECT name, {_LIMITS} FROM tiers WHERE name = :name FOR NO KEY UPDATE")  # noqa: S608 - constants only
_SAVE = Statement(
    f"UPDATE tiers SET {', '.join(f'{name} = :{name}' for name in Limits.model_fields)} WHERE name = :name"  # noqa: S608 - constants only
)


async def list_tiers(connection: Connection) -> tuple[TierLimits, ...]:
    """Return every tier, smallest first."""
    found = [_to_tier(row) for row in await _LIST.all(connection)]
    return tuple(sorted(found, key=lambda tier: list(Tier).index(tier.tier)))


async def find_limits(connection: Connection, tier: Tier) -> Limits:
    """Return the limits of a tier.

    Raises:
        LookupError: the table lacks the tier.
    """
    row = await _FIND.first(connection, name=tier)
    if row is None:
        raise LookupError(tier)
    return _to_tier(row).limits


async def change_tier(connection: Connection, tier: Tier, new_limits: Mapping[str, Any]) -> tuple[Limits, Limits]:
    """Set these limits by name; returns all limits of the tier before and after.

    Raises:
        LookupError: the table lacks the tier.
    """
    row = await _LOCK.first(connection, name=tier)
    if row is None:
        raise LookupError(tier)
    before = _to_tier(row).limits
    after = Limits.model_validate(before.model_dump() | dict(new_limits))
    await _SAVE.run(connection, name=tier, **after.model_dump())
    return before, after


def _to_tier(row: Row) -> TierLimits:
    return TierLimits(tier=Tier(row["name"]), limits=Limits.model_validate(dict(row)))
