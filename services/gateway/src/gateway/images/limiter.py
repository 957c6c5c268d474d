"""Limits how many images are processed at once, and how many requests wait for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic

from gateway.edge.capacity_limit import CapacityLimit
from gateway.edge.errors import TooManyBodies
from gateway.images.errors import TooManyConversions

QUEUED = 16  # images queued or in progress, per slot
QUEUED_PER_TENANT = 4  # of one tenant, per slot
WAITING_PER_TENANT = 500  # requests of one tenant that wait for a place in the queue


class ImageLimiter:
    """A queue for all image processing.

    Args:
        at_once: images processed at a time. ``QUEUED`` times as many may be queued or in progress, and
            ``QUEUED_PER_TENANT`` times as many of one tenant.
    """

    def __init__(self, at_once: int) -> None:
        self._running = asyncio.Semaphore(at_once)
        self._queue = CapacityLimit(total=QUEUED * at_once, per_client=QUEUED_PER_TENANT * at_once, clock=monotonic)
        self._patient_at_once = QUEUED_PER_TENANT * at_once // 2
        self._patient: dict[str, _PatientRequests] = {}

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

    @asynccontextmanager
    async def patient_slot(self, tenant: str) -> AsyncIterator[None]:
        """Like ``slot``, but wait for a place in the queue, too: a page asks for its hundred thumbnails at once.

        Such requests take at most half of the tenant's places.

        Raises:
            TooManyConversions: ``WAITING_PER_TENANT`` requests of this tenant wait already.
            Unavailable: all tenants together have too many images queued.
        """
        requests = self._patient.setdefault(tenant, _PatientRequests(asyncio.Semaphore(self._patient_at_once)))
        if requests.count >= WAITING_PER_TENANT:
            raise TooManyConversions(retry_after_s=1)
        requests.count += 1
        try:
            async with requests.places, self.slot(tenant):
                yield
        finally:
            requests.count -= 1
            if not requests.count:
                del self._patient[tenant]


@dataclass(slots=True)
class _PatientRequests:
    """Requests of one tenant that hold one of ``places`` or wait for one."""

    places: asyncio.Semaphore
    count: int = 0
