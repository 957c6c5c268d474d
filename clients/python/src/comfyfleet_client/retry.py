"""The retry policy."""

from dataclasses import dataclass

from comfyfleet_client.errors import ApiError, ComfyfleetError, Limited, Unreachable

STOPPING = "job.stopping"  # purging a cancelled job: its node stops it in a moment


@dataclass(frozen=True, slots=True)
class Retry:
    """When and how often to retry.

    Attributes:
        tries: attempts in total; 1 disables retries.
        first_s: delay after the first failure; doubled after each further one.
        most_s: maximum delay.
        obey_s: maximum ``Retry-After`` to wait for. A longer one (a daily quota) is left to the caller.
    """

    tries: int = 6
    first_s: float = 0.25
    most_s: float = 15.0
    obey_s: float = 60.0

    def pause_s(self, failure: ComfyfleetError, failed: int, chance: float, *, repeatable: bool = True) -> float | None:
        """Return the seconds until the next attempt; None if there is none.

        Args:
            failure: of the last attempt.
            failed: number of failed attempts, 1 or more.
            chance: random number from 0 to 1, which spreads clients that failed together.
            repeatable: whether a retry is safe if the last attempt may have had its effect.
        """
        if failed >= self.tries or not _passing(failure, repeatable=repeatable):
            return None
        pause = min(self.most_s, self.first_s * 2.0 ** min(failed - 1, 32)) * (0.5 + chance / 2)
        asked = failure.retry_after if isinstance(failure, ApiError) else None
        if asked is None:
            return pause
        return asked + pause if asked <= self.obey_s else None


def _passing(failure: ComfyfleetError, *, repeatable: bool) -> bool:
    """Whether the failure is temporary."""
    if isinstance(failure, Unreachable):
        return repeatable or not failure.sent
    if isinstance(failure, ApiError) and failure.status in {502, 503, 504}:
        return repeatable
    return isinstance(failure, Limited) or (isinstance(failure, ApiError) and failure.code == STOPPING)
