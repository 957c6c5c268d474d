"""A cache for one value of another service."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Generic, TypeVar

from contracts.wire.errors import FAULT_KINDS, Refusal

T = TypeVar("T")

Ask = Callable[[float | None], Awaitable[T]]

STALE_TIMEOUT_S = 0.5  # timeout of a request while a stale value is available
RETRY_S = 5.0  # longest pause between requests while the source is unavailable


class StaleWhileRevalidateCache(Generic[T]):
    """Caches a value for ``fresh_s`` seconds.

    Returns the stale value during a refresh and while its source is unavailable. Concurrent reads share one request.
    """

    def __init__(self, fresh_s: float) -> None:
        self._fresh_s = fresh_s
        self._asking: asyncio.Task[T] | None = None
        self.value: T | None = None
        self.until = 0.0
        """The end of freshness, by the monotonic clock."""

    async def read(self, ask: Ask[T]) -> T:
        """Return the value, fresh or stale. ``ask`` gets a timeout in seconds, or None for the default.

        Raises:
            Refusal: raised by ``ask``, if no value is cached or the refusal is not an outage.
        """
        if self.value is not None and monotonic() < self.until:
            return self.value
        if self._asking is None:
            self._asking = asyncio.create_task(self._request_value(ask), name="gateway.ask")
        return await asyncio.shield(self._asking)

    def expire(self) -> None:
        """Request the value again before the next read. A request in progress may still return the previous value."""
        self.until, self._asking = 0.0, None

    def forget(self) -> None:
        """Like ``expire``, and never return the cached value again."""
        self.expire()
        self.value = None

    async def _request_value(self, ask: Ask[T]) -> T:
        value, fresh_s = self.value, self._fresh_s
        try:
            value = await ask(None if value is None else STALE_TIMEOUT_S)
        except Refusal as refusal:
            if value is None or refusal.details.kind not in FAULT_KINDS:
                raise
            fresh_s = min(fresh_s, RETRY_S)
        finally:
            current = self._asking is asyncio.current_task()
            if current:
                self._asking = None
        if current:
            self.value, self.until = value, monotonic() + fresh_s
        return value
