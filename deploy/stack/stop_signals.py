"""Ctrl-C and SIGTERM: the first requests a graceful stop, the second kills immediately."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


class StopRequested(Exception):
    """A stop was requested."""


class StopSignals:
    """Handles both signals once its handlers are installed.

    Args:
        on_second: called at the second signal.
    """

    def __init__(self, on_second: Callable[[], None]) -> None:
        self.requested = asyncio.Event()
        self._on_second = on_second

    def install_handlers(self) -> None:
        """Replace Python's handlers of the two signals."""
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._on_signal)

    async def run_until_stopped(self, work: Awaitable[T]) -> T:
        """Return the result of ``work``; cancel it if a stop is requested.

        Raises:
            StopRequested: a stop was requested.
        """
        task = asyncio.ensure_future(work)
        requested = asyncio.ensure_future(self.requested.wait())
        try:
            await asyncio.wait({task, requested}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise StopRequested
        finally:
            task.cancel()
            requested.cancel()
            await asyncio.gather(task, requested, return_exceptions=True)

    def _on_signal(self) -> None:
        if self.requested.is_set():
            self._on_second()
        self.requested.set()
