"""Periodic duties: one loop, one duty."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from chassis.database.postgres import is_unavailable
from chassis.telemetry.logs import log

PAUSE_S = 0.5  # after a failure; long enough not to flood the log, short enough for a restart to go unnoticed


class Loop:
    """Runs a duty again and again until stopped.

    A tick that fails is logged and tried again after ``PAUSE_S``; a database that is away is no bug and logged briefly.
    ``stop`` is safe to call twice or before ``start``, and returns only once the duty no longer runs.

    Args:
        name: as it appears in logs, ``<service>.<verb>``.
        duty: one tick.
        every_s: seconds between two ticks, at most.
    """

    def __init__(self, name: str, duty: Callable[[], Awaitable[None]], *, every_s: float) -> None:
        self._name, self._duty, self._every_s = name, duty, every_s
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    def start(self) -> None:
        """Begin, in the background."""
        self._task = asyncio.create_task(self._run(), name=self._name)

    def wake(self) -> None:
        """Have the next tick begin now rather than after its interval."""
        self._wake.set()

    async def stop(self) -> None:
        """End the duty where it stands and wait until it has ended."""
        self._stopping = True
        # Again and again: Python 3.11's wait_for swallows a cancellation that meets its result.
        while self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=PAUSE_S)

    async def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            await self._tick()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every_s):
                    await self._wake.wait()

    async def _tick(self) -> None:
        try:
            await self._duty()
        except Exception as error:  # noqa: BLE001 - the edge of a loop: a failed tick must not end the duty
            if is_unavailable(error):
                log.warning("loop.dependency_away", loop=self._name, error=type(error).__name__)
            else:
                log.exception("loop.failed", loop=self._name)
            await asyncio.sleep(PAUSE_S)
