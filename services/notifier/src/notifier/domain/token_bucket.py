"""A token bucket for one client."""


class TokenBucket:
    """A token bucket: ``burst`` at once, then ``rate`` per second. Times in seconds of a monotonic clock."""

    def __init__(self, *, rate: float, burst: int, now: float) -> None:
        self._rate, self._burst = rate, burst
        self._tokens, self._updated_at = float(burst), now

    def try_take(self, now: float) -> bool:
        """Take one token if there is one; returns whether it was taken."""
        self._tokens = min(self._burst, self._tokens + (now - self._updated_at) * self._rate)
        self._updated_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
