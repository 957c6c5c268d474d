"""A cache for one value that another service supplies."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Generic, TypeVar

from contracts.wire.errors import FAULT_KINDS, Refusal

T = TypeVar("T")

Fetch = Callable[[float | None], Awaitable[T]]
"""Requests the value; gets a timeout in seconds, or None for the default."""

STALE_TIMEOUT_S = 0.5  # timeout of a request while a stale value is available
RETRY_S = 5.0  # longest pause between requests while the source is unavailable


class StaleWhileRevalidateCache(Generic[T]):
    """Caches a value for ``fresh_s`` seconds.

    Returns the stale value during a refresh and while its source is unavailable. Concurrent reads share one request.
    """

    def __init__(self, fresh_s: float) -> None:
        self._fresh_s = fresh_s
        self._pending: asyncio.Task[T] | None = None
        self.value: T | None = None
        self.fresh_until = 0.0
        """When the value becomes stale, by the monotonic clock."""

    async def get(self, fetch: Fetch[T]) -> T:
        """Return the value, fresh or stale. Concurrent calls share one ``fetch``.

        Raises:
            Refusal: raised by ``fetch``, if no value is cached or the refusal is not an outage.
        """
        if self.value is not None and monotonic() < self.fresh_until:
            return self.value
        if self._pending is None:
            self._pending = asyncio.create_task(self._refresh(fetch), name="gateway.refresh_cache")
        return await asyncio.shield(self._pending)

    def expire(self) -> None:
        """Make the next read request the value again. A request in progress may still return the previous value."""
        self.fresh_until, self._pending = 0.0, None

    def clear(self) -> None:
        """Expire the value and never return it again, not even while its source is unavailable."""
        self.expire()
        self.value = None

    async def _refresh(self, fetch: Fetch[T]) -> T:
        value, fresh_s = self.value, self._fresh_s
        try:
            value = await fetch(None if value is None else STALE_TIMEOUT_S)
        except Refusal as refusal:
            if value is None or refusal.details.kind not in FAULT_KINDS:
                raise
            fresh_s = min(fresh_s, RETRY_S)
        finally:
            current = self._pending is asyncio.current_task()
            if current:
                self._pending = None
        if current:
            self.value, self.fresh_until = value, monotonic() + fresh_s
        return value
