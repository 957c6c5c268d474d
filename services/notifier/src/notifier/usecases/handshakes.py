"""Limits WebSocket handshakes per address."""

from time import monotonic

from cachetools import LRUCache

from notifier.domain.allowance import Allowance
from notifier.domain.errors import TooManyHandshakes

AT_MOST = 10_000  # addresses in memory; a forgotten one starts anew


class Handshakes:
    """Counts handshakes per address, whatever their result. Each replica counts for itself.

    Args:
        per_minute: burst size and sustained rate per minute.
    """

    def __init__(self, *, per_minute: int) -> None:
        self._per_minute = per_minute
        self._allowances: LRUCache[str, Allowance] = LRUCache(maxsize=AT_MOST)

    def count(self, whose: str) -> None:
        """Count one handshake.

        Raises:
            TooManyHandshakes: the limit is exceeded.
        """
        now, rate = monotonic(), self._per_minute / 60
        allowance = self._allowances.get(whose)
        if allowance is None:
            allowance = self._allowances[whose] = Allowance(rate=rate, burst=self._per_minute, now=now)
        if not allowance.take(now):
            raise TooManyHandshakes(retry_after_s=max(1, 1 / rate))
