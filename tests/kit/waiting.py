"""Waits for a condition in another process or connection, with a timeout."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable

WITHIN_S = 20.0
MIN_PAUSE_S, MAX_PAUSE_S = 0.01, 0.1


async def until(condition: Callable[[], bool | Awaitable[bool]], within_s: float = WITHIN_S) -> None:
    """Wait until the condition holds; raises TimeoutError otherwise.

    A condition often is a request that several processes answer, so pauses grow with the wait, to a tenth of it.
    """
    began = time.monotonic()
    async with asyncio.timeout(within_s):
        while True:
            holds = condition()
            if inspect.isawaitable(holds):
                holds = await holds
            if holds:
                return
            pause_s = (time.monotonic() - began) / 10
            await asyncio.sleep(min(max(pause_s, MIN_PAUSE_S), MAX_PAUSE_S))
