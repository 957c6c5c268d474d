"""When to try again, and after how long."""

from dataclasses import dataclass

from comfyfleet_client.errors import ApiError, ComfyfleetError, Limited, Unreachable

STOPPING = "job.stopping"  # a cancelled job that is purged: its node lets go of it in a moment


@dataclass(frozen=True, slots=True)
class Retry:
    """How patient a client is.

    Attributes:
        tries: how often one thing is tried in all; 1 for never again.
        first_s: pause after the first failure; each one after it is twice as long.
        most_s: the longest pause.
        obey_s: the longest ``Retry-After`` that is waited for. A longer one (a daily quota) is the caller's to decide.
    """

    tries: int = 6
    first_s: float = 0.25
    most_s: float = 15.0
    obey_s: float = 60.0

    def pause_s(self, failure: ComfyfleetError, failed: int, chance: float, *, repeatable: bool = True) -> float | None:
        """Seconds until the next try; None if there shall be none.

        Args:
            failure: of the last try.
            failed: how many tries have failed, 1 or more.
            chance: from 0 to 1, which spreads out clients that failed together.
            repeatable: whether trying again is safe where the last try may have had its effect.
        """
        if failed >= self.tries or not _passing(failure, repeatable=repeatable):
            return None
        pause = min(self.most_s, self.first_s * 2.0 ** min(failed - 1, 32)) * (0.5 + chance / 2)
        asked = failure.retry_after if isinstance(failure, ApiError) else None
        if asked is None:
            return pause
        return asked + pause if asked <= self.obey_s else None


def _passing(failure: ComfyfleetError, *, repeatable: bool) -> bool:
    """Whether the failure may pass by itself: refused before it cost anything, or away."""
    if isinstance(failure, Unreachable):
        return repeatable or not failure.sent
    if isinstance(failure, ApiError) and failure.status in {502, 503, 504}:
        return repeatable
    return isinstance(failure, Limited) or (isinstance(failure, ApiError) and failure.code == STOPPING)
