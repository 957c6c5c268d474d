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

    def of(self, whose: str, *, within_s: float = inf) -> AbstractContextManager[Callable[[int], None]]:
        """A reservation for one body, until the end of the block. Call what it yields with the size of each chunk.

        The call raises TooManyBodies where the client's memory is used up, Unavailable where the total is, and
        BodyTooSlow for a chunk that comes after ``within_s`` seconds. ``chassis.http`` limits the pauses between
        chunks.
        """
        return _Reservation(self, whose, within_s)

    def take(self, count: int, whose: str) -> None:
        """Reserve bytes; see ``of``."""
        if self._taken[whose] + count > self._each:
            raise TooManyBodies(retry_after_s=1)
        if count > self._left:
            raise Unavailable(service="gateway", retry_after_s=1)
        self._left -= count
        self._taken[whose] += count

    def give_back(self, count: int, whose: str) -> None:
        """Release reserved bytes."""
        self._left += count
        self._taken[whose] -= count
        if not self._taken[whose]:
            del self._taken[whose]


class _Reservation:
    """A context manager without a generator, because every request with a body uses one."""

    __slots__ = ("_room", "_size", "_until", "_whose", "_within_s")

    def __init__(self, room: BodyMemoryLimit, whose: str, within_s: float) -> None:
        self._room, self._whose, self._within_s = room, whose, within_s
        self._size, self._until = 0, room.clock() + within_s

    def __enter__(self) -> Callable[[int], None]:
        return self._take

    def __exit__(self, *_: object) -> None:
        self._room.give_back(self._size, self._whose)

    def _take(self, count: int) -> None:
        if self._room.clock() > self._until:
            raise BodyTooSlow(seconds=self._within_s)
        self._room.take(count, self._whose)
        self._size += count
