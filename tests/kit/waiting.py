"""Waits for a condition in another process or connection, with a timeout."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

T = TypeVar("T")

WITHIN_S = 20.0
DAY_LEFT_S = 90.0  # half of a test's time limit, which includes the wait for the next day
MIN_PAUSE_S, MAX_PAUSE_S = 0.01, 0.1


async def until(condition: Callable[[], bool | Awaitable[bool]], within_s: float = WITHIN_S) -> None:
    """Wait until the condition holds; raise TimeoutError otherwise.

    Conditions often send requests, so the pauses grow: each is a tenth of the time waited so far, within limits.
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


async def repeat_until(
    accepts: Callable[[T], bool], request: Callable[[], Awaitable[T]], within_s: float = WITHIN_S
) -> T:
    """Send an idempotent request until its reply is accepted; return that reply, or raise TimeoutError."""
    replies: list[T] = []

    async def is_accepted() -> bool:
        replies[:] = [await request()]
        return accepts(replies[0])

    await until(is_accepted, within_s)
    return replies[0]


async def wait_if_midnight_is_near() -> None:
    """Wait for the next day (UTC) if the current one is about to end, because quotas and usage are those of one day."""

    def is_far() -> bool:
        now = datetime.now(UTC)
        return (now + timedelta(seconds=DAY_LEFT_S)).date() == now.date()

    await until(is_far, within_s=2 * DAY_LEFT_S)
