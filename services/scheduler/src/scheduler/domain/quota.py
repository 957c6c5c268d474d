"""A day's images. Days are UTC."""

from datetime import datetime, timedelta

from contracts.scheduler.usage import Quota


def quota(*, limit: int | None, used: int, now: datetime) -> Quota:
    """What of the day's images is used; ``now`` in UTC."""
    return Quota(limit=limit, used=used, resets_at=midnight(now))


def midnight(now: datetime) -> datetime:
    """The next 00:00 UTC, when the day's quota is whole again."""
    return now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
