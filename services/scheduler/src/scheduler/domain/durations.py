"""Histograms of durations: each bin ends 20 % above its beginning, so a percentile is right within 10 %."""

import math
from collections.abc import Mapping

SMALLEST_S, RATIO, BINS = 0.01, 1.2, 99  # up to 6 days; the last bin has all that is longer


def find_bin(seconds: float) -> int:
    """Return the number of the bin that a duration belongs to."""
    number = math.floor(math.log(max(seconds, SMALLEST_S) / SMALLEST_S) / math.log(RATIO))
    return min(max(number, 0), BINS - 1)


def compute_midpoint(number: int) -> float:
    """Return the duration in seconds in the middle of a bin."""
    return float(round(SMALLEST_S * RATIO ** (number + 0.5), 3))


def compute_percentile(jobs: Mapping[int, float], share: float) -> float | None:
    """Return the duration in seconds that ``share`` of the jobs do not exceed; None without jobs.

    Args:
        jobs: number or weight of jobs by bin.
        share: 0 to 1.
    """
    wanted, seen = share * sum(jobs.values()), 0.0
    for number, count in sorted(jobs.items()):
        seen += count
        if count and seen >= wanted * (1 - 1e-9):  # sums of weights are inexact
            return compute_midpoint(number)
    return None


def compute_mean(jobs: Mapping[int, float]) -> float | None:
    """Return the mean duration in seconds; None without jobs."""
    total = sum(jobs.values())
    return sum(compute_midpoint(number) * count for number, count in jobs.items()) / total if total else None
