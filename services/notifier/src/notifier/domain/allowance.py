"""How often a peer may do something."""


class Allowance:
    """A token bucket: ``burst`` at once, and ``rate`` a second for ever. Times in seconds, by a clock that goes on."""

    def __init__(self, *, rate: float, burst: int, now: float) -> None:
        self._rate, self._burst = rate, burst
        self._left, self._at = float(burst), now

    def take(self, now: float) -> bool:
        """Whether one more is within it."""
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
