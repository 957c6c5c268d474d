"""Limits WebSocket handshakes per address."""

from time import monotonic

from cachetools import LRUCache

from notifier.domain.errors import TooManyHandshakes
from notifier.domain.token_bucket import TokenBucket

MAX_ADDRESSES = 10_000  # addresses in memory; an evicted address starts with a full bucket


class HandshakeLimiter:
    """Counts handshakes per address, whatever their result. Each replica counts separately.

    Args:
        per_minute: burst size and sustained rate per minute.
    """

    def __init__(self, *, per_minute: int) -> None:
        self._per_minute = per_minute
        self._buckets: LRUCache[str, TokenBucket] = LRUCache(maxsize=MAX_ADDRESSES)

    def count_handshake(self, address: str) -> None:
        """Count one handshake.

        Raises:
            TooManyHandshakes: the limit is exceeded.
        """
        now, rate = monotonic(), self._per_minute / 60
        bucket = self._buckets.get(address)
        if bucket is None:
            bucket = self._buckets[address] = TokenBucket(rate=rate, burst=self._per_minute, now=now)
        if not bucket.try_take(now):
            raise TooManyHandshakes(retry_after_s=max(1, 1 / rate))
