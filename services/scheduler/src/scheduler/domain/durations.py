"""Histograms of durations: each bin ends 20 % above its beginning, so a percentile is right within 10 %."""

import math
from collections.abc import Mapping

SMALLEST_BIN_S, BIN_RATIO, BIN_COUNT = 0.01, 1.2, 99  # up to 6 days; the last bin also has all longer durations


def find_bin(seconds: float) -> int:
    """Return the number of the bin that a duration belongs to."""
    number = math.floor(math.log(max(seconds, SMALLEST_BIN_S) / SMALLEST_BIN_S) / math.log(BIN_RATIO))
    return min(max(number, 0), BIN_COUNT - 1)


def compute_midpoint(number: int) -> float:
    """Return the duration in seconds in the middle of a bin."""
    return float(round(SMALLEST_BIN_S * BIN_RATIO ** (number + 0.5), 3))


def compute_percentile(weights: Mapping[int, float], share: float) -> float | None:
    """Return the duration in seconds that ``share`` of the histogram does not exceed; None if it is empty.

    Args:
        weights: number or weight of durations by bin.
        share: 0 to 1.
    """
    target, total = share * sum(weights.values()), 0.0
    for number, weight in sorted(weights.items()):
        total += weight
        if weight and total >= target * (1 - 1e-9):  # sums of weights are inexact
            return compute_midpoint(number)
    return None


def compute_mean(weights: Mapping[int, float]) -> float | None:
    """Return the mean duration of a histogram in seconds; None if it is empty."""
    total = sum(weights.values())
    return sum(compute_midpoint(number) * weight for number, weight in weights.items()) / total if total else None
