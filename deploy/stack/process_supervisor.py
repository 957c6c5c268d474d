"""Supervises one process: starts it, restarts it when it dies, stops it on request."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from stack.processes import ChildProcess, ForkServerExited

FIRST_BACKOFF_S = 0.2
LAST_BACKOFF_S = 5.0
STEADY_AFTER_S = 10.0  # after running this long a process is restarted immediately again
READY_EVERY_S = 0.03


@dataclass(frozen=True, slots=True)
class ProcessUnit:
    """One process of a stack.

    Attributes:
        start: starts the process; called again after each exit.
        is_ready: whether the process serves; safe to call at any time.
        stop_signal: signal for a graceful stop.
        grace_s: seconds for a graceful stop before the process is killed.
    """

    name: str
    start: Callable[[], Awaitable[ChildProcess]]
    is_ready: Callable[[], Awaitable[bool]]
    stop_signal: int = signal.SIGTERM
    grace_s: float = 10.0


class ProcessSupervisor:
    """Runs one unit until it is stopped.

    Args:
        unit: what to run.
        on_pid_change: called with the name and the new pid, or None when it is down.
        log: called with a line for the log.
    """

    def __init__(
        self, unit: ProcessUnit, on_pid_change: Callable[[str, int | None], None], log: Callable[[str], None]
    ) -> None:
        self.unit = unit
        self.restarts = 0
        self._on_pid_change = on_pid_change
        self._log = log
        self._child: ChildProcess | None = None
        self._killed = False
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the process and its supervision. Returns immediately."""
        self._running = asyncio.create_task(self._run_forever(), name=f"keep {self.unit.name}")

    async def wait_until_ready(self) -> None:
        """Wait until the process is ready, across any number of restarts."""
        while not (self._child and not self._child.exited.done() and await self.unit.is_ready()):  # noqa: ASYNC110 - another process tells
            await asyncio.sleep(READY_EVERY_S)

    async def stop(self) -> None:
        """Stop the process gracefully; kill it after its grace period. It is not restarted."""
        running, self._running = self._running, None
        if running is None:
            return
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        if self._child is not None:
            await self._child.stop(signal.SIGKILL if self._killed else self.unit.stop_signal, self.unit.grace_s)
        self._on_pid_change(self.unit.name, None)

    def kill(self) -> None:
        """Kill the process immediately; it is not restarted. ``stop`` must still be called, and returns immediately."""
        self._killed = True
        if self._running is not None:
            self._running.cancel()
        if self._child is not None:
            self._child.signal(signal.SIGKILL)

    async def _run_forever(self) -> None:
        backoff = 0.0
        while True:
            began = time.monotonic()
            code = await self._run_process_once()
            self._on_pid_change(self.unit.name, None)
            backoff = 0.0 if time.monotonic() - began > STEADY_AFTER_S else backoff
            self._log(
                f"{self.unit.name} {_describe_exit(code)}; restarting" + (f" in {backoff:.1f} s" if backoff else "")
            )
            await asyncio.sleep(backoff)
            backoff = min(LAST_BACKOFF_S, backoff * 2 or FIRST_BACKOFF_S)
            self.restarts += 1

    async def _run_process_once(self) -> int | None:
        """Run the process once. Returns its exit status, or None if it could not be started."""
        try:
            # Shielded: a child that is being started during a stop must be stopped too.
            starting = asyncio.ensure_future(self.unit.start())
            try:
                self._child = await asyncio.shield(starting)
            except asyncio.CancelledError:
                self._child = await starting
                raise
        except (ForkServerExited, OSError) as failure:
            self._log(f"{self.unit.name}: {failure!r}")
            return None
        self._on_pid_change(self.unit.name, self._child.pid)
        return await self._child.wait()


def _describe_exit(code: int | None) -> str:
    if code is None:
        return "could not be started"
    return f"was killed by signal {-code}" if code < 0 else f"exited with status {code}"
