"""Retry rules: which refusals are temporary, and how long to wait."""

from contracts.wire.errors import Kind, Refusal

PASSING = frozenset({Kind.UNAVAILABLE, Kind.LIMITED})


def passes(refusal: Refusal) -> bool:
    """Whether the refusal is temporary."""
    return refusal.refused.kind in PASSING


class ExponentialBackoff:
    """Increasing delays between retries, seconds."""

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._next_s, self._longest_s = first_s, longest_s

    def __next__(self) -> float:
        pause, self._next_s = self._next_s, min(2 * self._next_s, self._longest_s)
        return pause
