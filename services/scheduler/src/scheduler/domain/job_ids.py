"""Job ids are ordered by time (UUIDv7), so a range of time is a range of ids, which the primary key index covers."""

from datetime import datetime
from typing import Any
from uuid import UUID

MAX_SKEW_MS = 3_600_000  # between the clock of the service that generates ids and the database clock of created_at
_STAMP_BITS, _LATEST_MS = 80, (1 << 48) - 1  # UUIDv7, RFC 9562 section 5.7


def build_time_window(after: datetime | None, before: datetime | None, *, skew_ms: int = MAX_SKEW_MS) -> dict[str, Any]:
    """Build the parameters of a search by creation time: the exact times, and the range of ids that can match."""
    return {
        "created_after": after,
        "created_before": before,
        "id_from": _find_smallest_id(after, -skew_ms) if after else None,
        "id_to": _find_smallest_id(before, skew_ms) if before else None,
    }


def _find_smallest_id(moment: datetime, shift_ms: int) -> UUID:
    """Return the smallest id with the timestamp ``moment`` plus ``shift_ms``."""
    stamp = int(moment.timestamp() * 1000) + shift_ms
    return UUID(int=min(max(stamp, 0), _LATEST_MS) << _STAMP_BITS)
