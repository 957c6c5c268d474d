"""Waits for a condition in another process or connection, with a timeout."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable

WITHIN_S = 20.0


async def until(condition: Callable[[], bool | Awaitable[bool]], within_s: float = WITHIN_S) -> None:
    """Wait until the condition holds; raises TimeoutError otherwise."""
    async with asyncio.timeout(within_s):
        while True:
            holds = condition()
            if inspect.isawaitable(holds):
                holds = await holds
            if holds:
                return
            await asyncio.sleep(0.01)
