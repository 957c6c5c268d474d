"""How many bytes of request bodies there may be in memory at a time."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from contracts.wire.errors import Unavailable
from gateway.domain.errors import TooManyBodies


class Room:
    """Room for bodies that are being read or parsed.

    Args:
        total: bytes for everybody.
        each: bytes of them for one client.
    """

    def __init__(self, *, total: int, each: int) -> None:
        self._left, self._each = total, each
        self._taken: Counter[str] = Counter()

    @contextmanager
    def of(self, whose: str) -> Iterator[Callable[[int], None]]:
        """A place for one body, given back in the end: call what this yields with the size of each part of it.

        Raises:
            TooManyBodies: the client has no room left.
            Unavailable: nobody has.
        """
        size = 0

        def take(count: int) -> None:
            nonlocal size
            if self._taken[whose] + count > self._each:
                raise TooManyBodies(retry_after_s=1)
            if count > self._left:
                raise Unavailable(service="gateway", retry_after_s=1)
            size += count
            self._left -= count
            self._taken[whose] += count

        try:
            yield take
        finally:
            self._left += size
            self._taken[whose] -= size
            if not self._taken[whose]:
                del self._taken[whose]
