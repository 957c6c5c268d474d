"""Which refusals pass, and how long to wait for that."""

from contracts.wire.errors import Kind, Refusal

PASSING = frozenset({Kind.UNAVAILABLE, Kind.LIMITED})


def passes(refusal: Refusal) -> bool:
    """Whether asking again may be answered otherwise."""
    return refusal.refused.kind in PASSING


class ExponentialBackoff:
    """Growing pauses between tries, seconds."""

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._next_s, self._longest_s = first_s, longest_s

    def __next__(self) -> float:
        """The pause before the next try."""
        pause, self._next_s = self._next_s, min(2 * self._next_s, self._longest_s)
        return pause
