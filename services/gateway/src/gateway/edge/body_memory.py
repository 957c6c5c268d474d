"""How many bytes of request bodies there may be in memory at a time, and for how long they may come."""

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from math import inf

from contracts.wire.errors import Unavailable
from gateway.errors import BodyTooSlow, TooManyBodies


class BodyMemoryLimit:
    """Room for bodies that are being read or parsed.

    Args:
        total: bytes for everybody.
        each: bytes of them for one client.
        clock: seconds that never go back.
    """

    def __init__(self, *, total: int, each: int, clock: Callable[[], float]) -> None:
        self._left, self._each, self.clock = total, each, clock
        self._taken: Counter[str] = Counter()

    def of(self, whose: str, *, within_s: float = inf) -> AbstractContextManager[Callable[[int], None]]:
        """A place for one body, given back in the end: call what this yields with the size of each part of it.

        That raises TooManyBodies where the client has no room left, Unavailable where nobody has, and BodyTooSlow for a
        part that comes after ``within_s`` seconds. Pauses between two parts are for chassis.http to bound.
        """
        return _Reservation(self, whose, within_s)

    def take(self, count: int, whose: str) -> None:
        """Take so many bytes; see ``of``."""
        if self._taken[whose] + count > self._each:
            raise TooManyBodies(retry_after_s=1)
        if count > self._left:
            raise Unavailable(service="gateway", retry_after_s=1)
        self._left -= count
        self._taken[whose] += count

    def give_back(self, count: int, whose: str) -> None:
        """Give back what was taken."""
        self._left += count
        self._taken[whose] -= count
        if not self._taken[whose]:
            del self._taken[whose]


class _Reservation:
    """A context manager without a generator: every request with a body has one."""

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
