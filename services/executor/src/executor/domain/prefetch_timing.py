"""Decides when to request the next job while the node runs one."""

import math

RETRY_S, MAX_RETRY_S = 1.0, 5.0  # seconds after a request without a job, doubled each time


class PrefetchTiming:
    """When to request the next job. Times are monotonic seconds.

    A prefetched job cannot start on another node. It is therefore requested ``hold_s / 2`` before the expected end of
    the running prompt, which is expected to take as long as the previous one.

    Args:
        hold_s: a prefetched job that has waited this long is handed back.
    """

    def __init__(self, *, hold_s: float) -> None:
        self._hold_s = hold_s
        self._last_run_s = 0.0
        self._began_at: float | None = None
        self._due_at, self._retry_s = math.inf, RETRY_S

    def record_prompt_start(self, now: float) -> None:
        """Record that the node began a prompt."""
        self._began_at, self._retry_s = now, RETRY_S
        self._due_at = now + max(self._last_run_s - self._hold_s / 2, 0.0)

    def record_prompt_end(self, now: float) -> None:
        """Record that the prompt has ended, so that the node is free. Its outputs are still being stored."""
        if self._began_at is not None:
            self._last_run_s, self._began_at = now - self._began_at, None
        self._due_at = now

    def record_empty_reply(self, now: float) -> None:
        """Record that the scheduler had no job."""
        self._due_at = now + self._retry_s
        self._retry_s = min(2 * self._retry_s, MAX_RETRY_S)

    def record_hand_back(self) -> None:
        """Record that a prefetched job was handed back. No other is requested until the next prompt begins."""
        self._due_at = math.inf

    def compute_delay_s(self, now: float, *, is_report_near: bool = False) -> float:
        """Return the seconds until the next job should be requested; infinite if not before the next prompt begins.

        Args:
            is_report_near: the end of an earlier attempt will be reported soon. To save a message, the request is then
                delayed by up to half of the expected run time, so that the report can carry it.
        """
        due_at = self._due_at
        if is_report_near:
            due_at = max(due_at, (due_at if self._began_at is None else self._began_at) + self._last_run_s / 2)
        return max(due_at - now, 0.0)
