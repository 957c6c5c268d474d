"""Ctrl-C and SIGTERM: the first requests a graceful stop, the second kills immediately."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


class Interrupted(Exception):
    """A stop was requested."""


class Interrupts:
    """Handles both signals while it is open.

    Args:
        at_once: called at the second signal.
    """

    def __init__(self, at_once: Callable[[], None]) -> None:
        self.asked = asyncio.Event()
        self._at_once = at_once

    def open(self) -> None:
        """Replace Python's handlers of the two signals."""
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._hear)

    async def unless(self, work: Awaitable[T]) -> T:
        """Return the result of ``work``; cancel it if a stop is requested.

        Raises:
            Interrupted: a stop was requested.
        """
        task = asyncio.ensure_future(work)
        asked = asyncio.ensure_future(self.asked.wait())
        try:
            await asyncio.wait({task, asked}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise Interrupted
        finally:
            for each in (task, asked):
                each.cancel()
            await asyncio.gather(task, asked, return_exceptions=True)

    def _hear(self) -> None:
        if self.asked.is_set():
            self._at_once()
        self.asked.set()
