"""Limits the memory of request bodies that are being received, and the time to receive them."""

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from math import inf

from contracts.wire.errors import Unavailable
from gateway.edge.errors import BodyTooSlow, TooManyBodies


class BodyMemoryLimit:
    """Memory for bodies that are being received or parsed.

    Args:
        total: bytes for all clients.
        each: bytes for one client.
        clock: monotonic, seconds.
    """

    def __init__(self, *, total: int, each: int, clock: Callable[[], float]) -> None:
        self._left, self._each, self.clock = total, each, clock
        self._taken: Counter[str] = Counter()

    def reserve(self, client: str, *, within_s: float = inf) -> AbstractContextManager[Callable[[int], None]]:
        """A reservation for one body, until the end of the block. Call what it yields with the size of each chunk.

        The call raises TooManyBodies where the client's memory is used up, Unavailable where the total is, and
        BodyTooSlow for a chunk that comes after ``within_s`` seconds. ``chassis.http`` limits the pauses between
        chunks.
        """
        return _Reservation(self, client, within_s)

    def take(self, count: int, client: str) -> None:
        """Reserve bytes; see ``reserve``."""
        if self._taken[client] + count > self._each:
            raise TooManyBodies(retry_after_s=1)
        if count > self._left:
            raise Unavailable(service="gateway", retry_after_s=1)
        self._left -= count
        self._taken[client] += count

    def release(self, count: int, client: str) -> None:
        """Release reserved bytes."""
        self._left += count
        self._taken[client] -= count
        if not self._taken[client]:
            del self._taken[client]


class _Reservation:
    """A context manager without a generator, because every request with a body uses one."""

    __slots__ = ("_client", "_limit", "_size", "_until", "_within_s")

    def __init__(self, limit: BodyMemoryLimit, client: str, within_s: float) -> None:
        self._limit, self._client, self._within_s = limit, client, within_s
        self._size, self._until = 0, limit.clock() + within_s

    def __enter__(self) -> Callable[[int], None]:
        return self._take_bytes

    def __exit__(self, *_: object) -> None:
        self._limit.release(self._size, self._client)

    def _take_bytes(self, count: int) -> None:
        if self._limit.clock() > self._until:
            raise BodyTooSlow(seconds=self._within_s)
        self._limit.take(count, self._client)
        self._size += count
