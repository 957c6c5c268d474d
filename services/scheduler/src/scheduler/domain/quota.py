"""The daily image quota. Days are UTC."""

from datetime import datetime, timedelta

from contracts.scheduler.usage import Quota


def build_quota(*, limit: int | None, used: int, now: datetime) -> Quota:
    """Build the quota of the day of ``now``, which must be in UTC. ``limit`` None means unlimited."""
    return Quota(limit=limit, used=used, resets_at=find_next_midnight(now))


def find_next_midnight(now: datetime) -> datetime:
    """Return the next 00:00 UTC, when the quota resets."""
    return now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
