"""Periodic background tasks."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

from chassis.database.postgres import is_unavailable
from chassis.telemetry.logs import log
from chassis.telemetry.metrics import Metrics

RETRY_S = 0.5  # pause after a failure: long enough not to flood the log, short enough that a restart goes unnoticed
LONGEST_RETRY_S = 30.0  # after many failures


class Loop:
    """Runs a task periodically until stopped.

    A failed run is logged and retried after ``RETRY_S``. The pause doubles with each further failure, up to
    ``LONGEST_RETRY_S`` and ``every_s``. If the database is unavailable, the log line is short.
    ``stop`` is safe to call twice or before ``start``, and returns only once the task has stopped.

    Args:
        name: name in logs and metrics, ``<service>.<verb>``.
        task: one run of the task.
        every_s: maximum seconds between two runs.
    """

    def __init__(self, name: str, task: Callable[[], Awaitable[None]], *, every_s: float) -> None:
        self._name, self._run_task, self._every_s = name, task, every_s
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._metrics: Metrics | None = None

    def start(self, metrics: Metrics | None = None) -> None:
        """Start in the background. ``metrics`` records every success of a task that has a period."""
        if metrics is not None and self._every_s > 0:
            self._metrics = metrics
            metrics.record_loop_start(self._name, self._every_s)
        self._task = asyncio.create_task(self._run(), name=self._name)

    def wake(self) -> None:
        """Start the next run now instead of after its interval."""
        self._wake.set()

    def wake_within(self, seconds: float) -> None:
        """Start the next run within these seconds, plus or minus 20 %."""
        asyncio.get_running_loop().call_later(seconds * random.uniform(0.8, 1.2), self.wake)  # noqa: S311 - spreads load

    async def stop(self) -> None:
        """Cancel the task and wait until it has ended."""
        self._stopping = True
        # Repeatedly, because Python 3.11's wait_for swallows a cancellation that coincides with its result.
        while self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=RETRY_S)

    async def _run(self) -> None:
        retry_s = RETRY_S
        while not self._stopping:
            self._wake.clear()
            if await self._tick():
                pause_s, retry_s = self._every_s, RETRY_S
            else:
                await asyncio.sleep(RETRY_S)  # also if it is woken
                pause_s = min(retry_s, self._every_s, LONGEST_RETRY_S) - RETRY_S
                retry_s = min(2 * retry_s, LONGEST_RETRY_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._wake.wait()

    async def _tick(self) -> bool:
        """Run the task once. Return whether it succeeded."""
        try:
            await self._run_task()
            if self._metrics is not None:
                self._metrics.record_loop_success(self._name)
        except Exception as error:  # noqa: BLE001 - the edge of a loop: a failed tick must not end the task
            if is_unavailable(error):
                log.warning("loop.dependency_unavailable", loop=self._name, error=type(error).__name__)
            else:
                log.exception("loop.failed", loop=self._name)
            return False
        return True
