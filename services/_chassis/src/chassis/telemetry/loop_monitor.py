"""Measures how long computation blocks the event loop."""

import asyncio
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic, process_time

from chassis.telemetry.logs import log

INTERVAL_S = 0.02
DEBUG_INTERVAL_S = 0.005  # interval at log level DEBUG
STALL_S = 0.05  # a longer delay is a stall and logged as a warning
MIN_LOGGED_S = 0.005  # a longer delay is logged at level DEBUG
WARN_EVERY_S = 1.0  # an overloaded service must not spend its time on logging
DELAY_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
"""Upper bounds of the histogram's buckets."""


class EventLoopMonitor:
    """Wakes up every ``every_s`` seconds and measures the delay.

    A stall is underestimated by at most ``every_s``. With ``INTERVAL_S`` the monitor costs 0.4 % of a core, with
    ``DEBUG_INTERVAL_S`` 1.5 %.

    Attributes:
        longest_s: the longest stall since the start.
        stalls: number of stalls of ``STALL_S`` or more.
        counts: histogram of delays: one bucket per upper bound in ``DELAY_BUCKETS_S``, and one for all above.
    """

    def __init__(self, *, every_s: float = INTERVAL_S) -> None:
        self._every_s = every_s
        self.longest_s, self.stalls = 0.0, 0
        self.counts = [0] * (len(DELAY_BUCKETS_S) + 1)
        self._warned_at = float("-inf")

    def record_delay(self, late_s: float, cpu_s: float, now: float) -> None:
        """Count one wake-up.

        Args:
            late_s: delay of the wake-up, seconds.
            cpu_s: processor time of this process meanwhile. If it is far less than the delay, the machine was busy with
                other processes.
            now: monotonic clock, seconds.
        """
        self.counts[bisect_left(DELAY_BUCKETS_S, late_s)] += 1
        if late_s < MIN_LOGGED_S:
            return
        self.longest_s = max(self.longest_s, late_s)
        delay = {"ms": round(late_s * 1000, 1), "cpu_ms": round(cpu_s * 1000, 1)}
        log.debug("loop.blocked", **delay)
        if late_s >= STALL_S:
            self.stalls += 1
            if now - self._warned_at >= WARN_EVERY_S:
                self._warned_at = now
                log.warning("loop.stalled", **delay, stalls=self.stalls)

    @contextmanager
    def measure(self) -> Iterator[None]:
        """Measure while the block runs, within an event loop."""
        loop, every_s = asyncio.get_running_loop(), self._every_s
        handle: asyncio.TimerHandle | None = None

        def wake_up(due: float, cpu_s: float) -> None:
            nonlocal handle
            now, used_s = monotonic(), process_time()
            self.record_delay(now - due, used_s - cpu_s, now)
            handle = loop.call_later(every_s, wake_up, now + every_s, used_s)

        handle = loop.call_later(every_s, wake_up, monotonic() + every_s, process_time())
        try:
            yield
        finally:
            handle.cancel()
