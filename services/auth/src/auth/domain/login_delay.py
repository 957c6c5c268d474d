"""How long an account refuses logins after failed ones: guessing gets slow, and nobody is locked out for good."""

from datetime import datetime, timedelta

FREE = 5  # failures that cost nothing
FIRST, LONGEST = timedelta(seconds=1), timedelta(minutes=15)
HARD, HARD_DELAY = 100, timedelta(hours=1)  # NIST SP 800-63B section 5.2.2: at most 100 consecutive failures


def delay_after(failures: int) -> timedelta:
    """How long nobody can log in after this many consecutive failures: 1, 2, 4 … seconds from the sixth on."""
    if failures >= HARD:
        return HARD_DELAY
    if failures <= FREE:
        return timedelta(0)
    doublings = min(failures - FREE - 1, 10)  # above 15 minutes, below what a timedelta can be
    return min(LONGEST, FIRST * (1 << doublings))


def is_delayed(failures: int, last: datetime | None, now: datetime) -> bool:
    """Whether a login is refused now, be the password right or wrong. Such a login is no failure of its own."""
    # ``now`` may be before ``last``: who waits for the account's lock began earlier than who held it.
    return last is not None and failures > FREE and now < last + delay_after(failures)
