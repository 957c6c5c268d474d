"""Caches replies to equal queries for some seconds, because many admin pages poll the same queries."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from time import monotonic
from typing import Generic, TypeVar

Q = TypeVar("Q", bound=Hashable)
R = TypeVar("R")

MAX_REPLIES = 32  # the least recently computed reply is dropped first


class ReplyCache(Generic[Q, R]):
    """Caches up to ``MAX_REPLIES`` replies for ``fresh_s`` seconds. One reply is computed at a time."""

    def __init__(self, compute: Callable[[Q], Awaitable[R]], *, fresh_s: float) -> None:
        self._compute, self._fresh_s = compute, fresh_s
        self._replies: OrderedDict[Q, tuple[float, R]] = OrderedDict()
        self._lock = asyncio.Lock()

    async def get_reply(self, query: Q) -> R:
        """Return the cached reply to this query, or compute it."""
        async with self._lock:
            until, reply = self._replies.get(query, (0.0, None))
            if reply is not None and monotonic() < until:
                return reply
            reply = await self._compute(query)
            self._replies[query] = (monotonic() + self._fresh_s, reply)
            self._replies.move_to_end(query)
            if len(self._replies) > MAX_REPLIES:
                self._replies.popitem(last=False)
            return reply
