"""Ctrl-C and SIGTERM: the first asks for a graceful end, the second ends at once."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


class Interrupted(Exception):
    """A person or the system asked us to end."""


class Interrupts:
    """Listens for both signals while it is open.

    Args:
        at_once: called at the second one.
    """

    def __init__(self, at_once: Callable[[], None]) -> None:
        self.asked = asyncio.Event()
        self._at_once = at_once

    def open(self) -> None:
        """Take the two signals over from Python."""
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._hear)

    async def unless(self, work: Awaitable[T]) -> T:
        """The result of ``work``; it is cancelled when we are asked to end.

        Raises:
            Interrupted: we were.
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
