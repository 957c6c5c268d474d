"""One answer that is kept for a while."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Generic, TypeVar

from contracts.wire.errors import FAULTS, Refusal

T = TypeVar("T")

Ask = Callable[[float | None], Awaitable[T]]

PATIENCE_S = 0.5  # with an answer at hand nobody waits longer for a newer one
AWAY_S = 5.0  # between two questions, at most, while nobody answers


class StaleWhileRevalidateCache(Generic[T]):
    """Good for ``fresh_s`` seconds; then asked for again, and believed on while nobody answers.

    Whoever reads while it is asked for waits for that very question.
    """

    def __init__(self, fresh_s: float) -> None:
        self._fresh_s = fresh_s
        self._asking: asyncio.Task[T] | None = None
        self.value: T | None = None
        self.until = 0.0
        """When it ends to be fresh, by the monotonic clock."""

    async def read(self, ask: Ask[T]) -> T:
        """The answer, fresh or believed. ``ask`` is given the seconds that it may take, None for the usual ones.

        Raises:
            Refusal: what ``ask`` raised, where there is nothing to believe or the refusal is no outage.
        """
        if self.value is not None and monotonic() < self.until:
            return self.value
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask(ask), name="gateway.ask")
        return await asyncio.shield(self._asking)

    def expire(self) -> None:
        """Ask before the next answer: a question that is under way may bring what was before."""
        self.until, self._asking = 0.0, None

    def forget(self) -> None:
        """The same, and the answer at hand is wrong."""
        self.expire()
        self.value = None

    async def _ask(self, ask: Ask[T]) -> T:
        value, fresh_s = self.value, self._fresh_s
        try:
            value = await ask(None if value is None else PATIENCE_S)
        except Refusal as refusal:
            if value is None or refusal.refused.kind not in FAULTS:
                raise
            fresh_s = min(fresh_s, AWAY_S)
        finally:
            current = self._asking is asyncio.current_task()
            if current:
                self._asking = None
        if current:
            self.value, self.until = value, monotonic() + fresh_s
        return value
