"""Who may have a picture worked on: as many at once as this machine can take, the others in a short line."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

from gateway.edge.body_memory import BodyMemoryLimit
from gateway.errors import TooManyBodies, TooManyConversions

IN_LINE = 16  # pictures that wait or are worked on, for each that may be
EACH_IN_LINE = 4  # of them of one tenant


class ImageLimiter:
    """One line for all work on pictures.

    Args:
        at_once: pictures that are worked on at a time. ``IN_LINE`` times as many may be there, waiting included, and
            ``EACH_IN_LINE`` times as many of one tenant.
    """

    def __init__(self, at_once: int) -> None:
        self._running = asyncio.Semaphore(at_once)
        self._line = BodyMemoryLimit(total=IN_LINE * at_once, each=EACH_IN_LINE * at_once, clock=monotonic)

    @asynccontextmanager
    async def turn(self, tenant: str) -> AsyncIterator[None]:
        """Wait for one's turn, and have it until the block ends.

        Raises:
            TooManyConversions: this tenant has too many in line.
            Unavailable: all tenants together have.
        """
        with self._line.of(tenant) as stand_in_line:
            try:
                stand_in_line(1)
            except TooManyBodies:
                raise TooManyConversions(retry_after_s=1) from None
            async with self._running:
                yield
