"""Limits how many images are processed at once, and how many requests wait for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

from gateway.edge.body_memory import BodyMemoryLimit
from gateway.edge.errors import TooManyBodies
from gateway.images.errors import TooManyConversions

QUEUED = 16  # images queued or in progress, per slot
QUEUED_PER_TENANT = 4  # of one tenant, per slot


class ImageLimiter:
    """A queue for all image processing.

    Args:
        at_once: images processed at a time. ``QUEUED`` times as many may be queued or in progress, and
            ``QUEUED_PER_TENANT`` times as many of one tenant.
    """

    def __init__(self, at_once: int) -> None:
        self._running = asyncio.Semaphore(at_once)
        self._queue = BodyMemoryLimit(total=QUEUED * at_once, each=QUEUED_PER_TENANT * at_once, clock=monotonic)

    @asynccontextmanager
    async def slot(self, tenant: str) -> AsyncIterator[None]:
        """Wait for a slot, and hold it until the block ends.

        Raises:
            TooManyConversions: this tenant has too many images queued.
            Unavailable: all tenants together have.
        """
        with self._queue.reserve(tenant) as enter_queue:
            try:
                enter_queue(1)
            except TooManyBodies:
                raise TooManyConversions(retry_after_s=1) from None
            async with self._running:
                yield
