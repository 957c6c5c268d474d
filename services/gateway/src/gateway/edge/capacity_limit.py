"""Limits how much of a resource (bytes of memory, or slots) may be in use at once, in total and per client."""

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from math import inf

from contracts.wire.errors import Unavailable
from gateway.edge.errors import BodyTooSlow, TooManyBodies


class CapacityLimit:
    """A resource that clients reserve and release, such as bytes for request bodies.

    Args:
        total: units for all clients together.
        per_client: units for one client.
        clock: monotonic, seconds.
    """

    def __init__(self, *, total: int, per_client: int, clock: Callable[[], float]) -> None:
        self._left, self._per_client, self.clock = total, per_client, clock
        self._taken: Counter[str] = Counter()

    def reserve(self, client: str, *, within_s: float = inf) -> AbstractContextManager[Callable[[int], None]]:
        """Return a reservation that lasts until the end of the block. It yields a function that reserves more units.

        That function raises TooManyBodies if the client's share is used up, Unavailable if the total is, and
        BodyTooSlow if it is called after ``within_s`` seconds. For a request body, call it with the size of each chunk;
        ``chassis.http`` limits the pauses between chunks.
        """
        return _Reservation(self, client, within_s)

    def take(self, count: int, client: str) -> None:
        """Take units; see ``reserve``."""
        if self._taken[client] + count > self._per_client:
            raise TooManyBodies(retry_after_s=1)
        if count > self._left:
            raise Unavailable(service="gateway", retry_after_s=1)
        self._left -= count
        self._taken[client] += count

    def release(self, count: int, client: str) -> None:
        """Give units back."""
        self._left += count
        self._taken[client] -= count
        if not self._taken[client]:
            del self._taken[client]


class _Reservation:
    """A context manager without a generator, because every request with a body uses one."""

    __slots__ = ("_client", "_limit", "_size", "_until", "_within_s")

    def __init__(self, limit: CapacityLimit, client: str, within_s: float) -> None:
        self._limit, self._client, self._within_s = limit, client, within_s
        self._size, self._until = 0, limit.clock() + within_s

    def __enter__(self) -> Callable[[int], None]:
        return self._take_units

    def __exit__(self, *_: object) -> None:
        self._limit.release(self._size, self._client)

    def _take_units(self, count: int) -> None:
        if self._limit.clock() > self._until:
            raise BodyTooSlow(seconds=self._within_s)
        self._limit.take(count, self._client)
        self._size += count
