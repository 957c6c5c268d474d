"""Decides when to request the next job while the node runs one."""

import math

RETRY_S, MAX_RETRY_S = 1.0, 5.0  # seconds after a request without a job, doubled each time


class PrefetchTiming:
    """When to request the next job. Times are monotonic seconds.

    A job that waits here cannot start elsewhere, so it is requested at the start of a prompt only if the previous one
    was short, and otherwise when about half of ``hold_s`` is left, if this prompt takes as long as the previous one.

    Args:
        hold_s: a job that waited here for so long is handed back.
    """

    def __init__(self, *, hold_s: float) -> None:
        self._hold_s = hold_s
        self._last_run_s = 0.0
        self._began_at: float | None = None
        self._due_at, self._retry_s = math.inf, RETRY_S

    def begin_prompt(self, now: float) -> None:
        """Note that the node began a prompt."""
        self._began_at, self._retry_s = now, RETRY_S
        self._due_at = now + max(self._last_run_s - self._hold_s / 2, 0.0)

    def end_prompt(self, now: float) -> None:
        """Note that the prompt has ended, and that its outputs are still being stored: the node is free now."""
        if self._began_at is not None:
            self._last_run_s, self._began_at = now - self._began_at, None
        self._due_at = now

    def record_no_job(self, now: float) -> None:
        """Note that there was no job."""
        self._due_at = now + self._retry_s
        self._retry_s = min(2 * self._retry_s, MAX_RETRY_S)

    def record_hand_back(self) -> None:
        """Record that a prefetched job was handed back. No other is requested until the next prompt begins."""
        self._due_at = math.inf

    def compute_delay_s(self, now: float, *, is_report_near: bool = False) -> float:
        """Return the seconds until the next job should be requested; infinite if not before the next prompt begins.

        Args:
            is_report_near: the end of an earlier attempt will be reported soon, and the report can carry the request.
                That saves a message, so it is awaited for half of the time that the running prompt probably takes.
        """
        due_at = self._due_at
        if is_report_near:
            due_at = max(due_at, (due_at if self._began_at is None else self._began_at) + self._last_run_s / 2)
        return max(due_at - now, 0.0)
