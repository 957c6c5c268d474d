"""The steps in which a process stops."""

import asyncio
from collections.abc import Awaitable, Callable

from chassis.telemetry.logs import log


class Shutdown:
    """Tells the parts of a process that it is being stopped. Its server sets the steps (``chassis.http.server``).

    Attributes:
        begun: a first signal has arrived. The process is not ready and takes no new work, but accepts connections.
        closing: the listener is about to close. Long-running responses end now.
        forced: a second signal has arrived: do not wait for work in progress.
    """

    def __init__(self) -> None:
        self.begun, self.closing, self.forced = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._drains: list[Callable[[], Awaitable[object]]] = []

    def register_drain(self, drain: Callable[[], Awaitable[object]]) -> None:
        """Register work to finish between ``begun`` and ``closing``. It must end by itself, soon after ``forced``."""
        self._drains.append(drain)

    async def begin(self, *, delay_s: float) -> None:
        """Set ``begun`` and run all drains. Returns after them, and not before ``delay_s`` unless ``forced`` is set."""
        self.begun.set()
        log.info("service.draining", delay_s=delay_s)
        drains = (self._run_drain(drain) for drain in self._drains)
        await asyncio.gather(wait_for_any(self.forced, within_s=delay_s), *drains)

    async def _run_drain(self, drain: Callable[[], Awaitable[object]]) -> None:
        try:
            await drain()
        except Exception:  # noqa: BLE001 - a bug must not keep the process from stopping
            log.exception("service.drain_failed")


async def wait_for_any(*events: asyncio.Event, within_s: float | None = None) -> bool:
    """Wait until one of the events is set, at most ``within_s`` seconds. Returns whether one is."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    return any(event.is_set() for event in events)
