"""Login delays after failed attempts: they slow down guessing without locking an account permanently."""

from datetime import datetime, timedelta

FREE_FAILURES = 5  # failures without a delay
FIRST_DELAY, MAX_DELAY = timedelta(seconds=1), timedelta(minutes=15)
# NIST SP 800-63B section 5.2.2: at most 100 consecutive failures.
HARD_LIMIT, HARD_LIMIT_DELAY = 100, timedelta(hours=1)


def compute_delay(failures: int) -> timedelta:
    """Return the delay after this many consecutive failures: 1, 2, 4 … seconds from the sixth on."""
    if failures >= HARD_LIMIT:
        return HARD_LIMIT_DELAY
    if failures <= FREE_FAILURES:
        return timedelta(0)
    doublings = min(failures - FREE_FAILURES - 1, 10)  # exceeds 15 minutes without overflowing timedelta
    return min(MAX_DELAY, FIRST_DELAY * (1 << doublings))


def is_delayed(failures: int, last: datetime | None, now: datetime) -> bool:
    """Whether a login is refused now even with the right password. Such a login does not count as a failure."""
    # ``now`` may precede ``last``: a transaction that waited for the lock started before the one that held it.
    return last is not None and failures > FREE_FAILURES and now < last + compute_delay(failures)
