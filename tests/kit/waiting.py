"""Waiting for what another process or connection does: on the thing itself, with a bound."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable

WITHIN_S = 20.0


async def until(condition: Callable[[], bool | Awaitable[bool]], within_s: float = WITHIN_S) -> None:
    """Return once the condition holds; TimeoutError if it does not within the bound."""
    async with asyncio.timeout(within_s):
        while True:
            holds = condition()
            if inspect.isawaitable(holds):
                holds = await holds
            if holds:
                return
            await asyncio.sleep(0.01)
