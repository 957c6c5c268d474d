"""Limits how many images are processed at once, and how many requests wait for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic

from gateway.edge.capacity_limit import CapacityLimit
from gateway.edge.errors import TooManyBodies
from gateway.images.errors import TooManyConversions

MAX_QUEUED_PER_SLOT = 16  # images queued or in progress, per slot
MAX_QUEUED_PER_SLOT_AND_TENANT = 4  # images of one tenant queued or in progress, per slot
MAX_WAITING_PER_TENANT = 500  # requests of one tenant that wait for a place in the queue


class ImageLimiter:
    """A queue for all image processing.

    Args:
        max_concurrent: images processed at a time. ``MAX_QUEUED_PER_SLOT`` times as many may be queued or in progress,
            and ``MAX_QUEUED_PER_SLOT_AND_TENANT`` times as many of one tenant.
    """

    def __init__(self, max_concurrent: int) -> None:
        self._running = asyncio.Semaphore(max_concurrent)
        self._queue = CapacityLimit(
            total=MAX_QUEUED_PER_SLOT * max_concurrent,
            per_client=MAX_QUEUED_PER_SLOT_AND_TENANT * max_concurrent,
            clock=monotonic,
        )
        self._max_waiting_in_queue = MAX_QUEUED_PER_SLOT_AND_TENANT * max_concurrent // 2
        self._waiting: dict[str, _WaitingRequests] = {}

    @asynccontextmanager
    async def slot(self, tenant: str) -> AsyncIterator[None]:
        """Wait for a slot, and hold it until the block ends.

        Raises:
            TooManyConversions: this tenant has too many images queued.
            Unavailable: all tenants together have too many images queued.
        """
        with self._queue.reserve(tenant) as enter_queue:
            try:
                enter_queue(1)
            except TooManyBodies:
                raise TooManyConversions(retry_after_s=1) from None
            async with self._running:
                yield

    @asynccontextmanager
    async def slot_waiting_if_full(self, tenant: str) -> AsyncIterator[None]:
        """Like ``slot``, but wait for a place in the queue, too: a page requests its hundred thumbnails at once.

        Such requests take at most half of the tenant's places.

        Raises:
            TooManyConversions: ``MAX_WAITING_PER_TENANT`` requests of this tenant wait already.
            Unavailable: all tenants together have too many images queued.
        """
        requests = self._waiting.setdefault(tenant, _WaitingRequests(asyncio.Semaphore(self._max_waiting_in_queue)))
        if requests.count >= MAX_WAITING_PER_TENANT:
            raise TooManyConversions(retry_after_s=1)
        requests.count += 1
        try:
            async with requests.queue_places, self.slot(tenant):
                yield
        finally:
            requests.count -= 1
            if not requests.count:
                del self._waiting[tenant]


@dataclass(slots=True)
class _WaitingRequests:
    """Requests of one tenant that hold one of ``queue_places`` or wait for one."""

    queue_places: asyncio.Semaphore
    count: int = 0
