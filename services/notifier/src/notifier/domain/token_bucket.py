"""A token bucket for one peer."""


class TokenBucket:
    """A token bucket: ``burst`` at once, then ``rate`` per second. Times in seconds of a monotonic clock."""

    def __init__(self, *, rate: float, burst: int, now: float) -> None:
        self._rate, self._burst = rate, burst
        self._left, self._at = float(burst), now

    def try_take(self, now: float) -> bool:
        """Take one token if available."""
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
