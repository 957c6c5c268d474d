"""The retry policy."""

from dataclasses import dataclass

from comfyfleet_client.errors import ApiError, ComfyfleetError, LimitReached, ServerUnreachable

JOB_STOPPING = "job.stopping"  # purging a cancelled job: its node stops it in a moment


@dataclass(frozen=True, slots=True)
class Retry:
    """When and how often to retry.

    Attributes:
        tries: attempts in total; 1 disables retries.
        first_delay_s: delay after the first failure; doubled after each further one.
        max_delay_s: maximum delay.
        max_retry_after_s: maximum ``Retry-After`` to wait for. A longer one (a daily quota) is left to the caller.
    """

    tries: int = 6
    first_delay_s: float = 0.25
    max_delay_s: float = 15.0
    max_retry_after_s: float = 60.0

    def compute_next_delay_s(
        self, failure: ComfyfleetError, failed: int, jitter: float, *, repeatable: bool = True
    ) -> float | None:
        """Return the delay before the next attempt in seconds; None if the call should not be retried.

        Args:
            failure: error of the last attempt.
            failed: number of failed attempts, 1 or more.
            jitter: random number from 0 to 1, which spreads clients that failed together.
            repeatable: whether the call is idempotent: safe to repeat even if the server may have processed it.
        """
        if failed >= self.tries or not _is_temporary(failure, repeatable=repeatable):
            return None
        pause = min(self.max_delay_s, self.first_delay_s * 2.0 ** min(failed - 1, 32)) * (0.5 + jitter / 2)
        requested_s = failure.retry_after if isinstance(failure, ApiError) else None
        if requested_s is None:
            return pause
        return requested_s + pause if requested_s <= self.max_retry_after_s else None


def _is_temporary(failure: ComfyfleetError, *, repeatable: bool) -> bool:
    """Whether the failure is temporary and the call may be repeated after it."""
    if isinstance(failure, ServerUnreachable):
        return repeatable or not failure.sent
    if isinstance(failure, ApiError) and failure.status in {502, 503, 504}:
        return repeatable
    return isinstance(failure, LimitReached) or (isinstance(failure, ApiError) and failure.code == JOB_STOPPING)
