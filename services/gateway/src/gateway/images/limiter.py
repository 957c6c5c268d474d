"""Limits how many images are processed at once, and how many requests wait for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

from gateway.edge.body_memory import BodyMemoryLimit
from gateway.edge.errors import TooManyBodies
from gateway.images.errors import TooManyConversions

IN_LINE = 16  # images queued or in progress, per slot
EACH_IN_LINE = 4  # of one tenant, per slot


class ImageLimiter:
    """A queue for all image processing.

    Args:
        at_once: images processed at a time. ``IN_LINE`` times as many may be queued or in progress, and
            ``EACH_IN_LINE`` times as many of one tenant.
    """

    def __init__(self, at_once: int) -> None:
        self._running = asyncio.Semaphore(at_once)
        self._line = BodyMemoryLimit(total=IN_LINE * at_once, each=EACH_IN_LINE * at_once, clock=monotonic)

    @asynccontextmanager
    async def slot(self, tenant: str) -> AsyncIterator[None]:
        """Wait for a slot, and hold it until the block ends.

        Raises:
            TooManyConversions: this tenant has too many images queued.
            Unavailable: all tenants together have.
        """
        with self._line.of(tenant) as stand_in_line:
            try:
                stand_in_line(1)
            except TooManyBodies:
                raise TooManyConversions(retry_after_s=1) from None
            async with self._running:
                yield
