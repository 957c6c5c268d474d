"""Job ids sort by time, so a span of time is a span of ids, which the primary key finds."""

from datetime import datetime
from typing import Any
from uuid import UUID

SKEW_MS = 3_600_000  # between the clock of whoever made an id and the database's, which alone says when it was accepted
_STAMP_BITS, _LATEST_MS = 80, (1 << 48) - 1  # UUIDv7, RFC 9562 section 5.7


def window(after: datetime | None, before: datetime | None) -> dict[str, Any]:
    """Parameters of a search by time: what decides, and the ids among which alone there can be any."""
    return {
        "created_after": after,
        "created_before": before,
        "id_from": _first_id(after, -SKEW_MS) if after else None,
        "id_to": _first_id(before, SKEW_MS) if before else None,
    }


def _first_id(moment: datetime, shift_ms: int) -> UUID:
    """The least id that can have been made then, or ``shift_ms`` later."""
    stamp = int(moment.timestamp() * 1000) + shift_ms
    return UUID(int=min(max(stamp, 0), _LATEST_MS) << _STAMP_BITS)
