"""Histograms of durations: each bin ends 20 % above its beginning, so a percentile is right within 10 %."""

from collections.abc import Mapping

SMALLEST_S, RATIO, BINS = 0.01, 1.2, 99  # up to 6 days; the last bin has all that is longer


def compute_percentile(jobs: Mapping[int, int], share: float) -> float | None:
    """Return the duration in seconds that ``share`` of the jobs do not exceed; None without jobs.

    Args:
        jobs: number of jobs by bin.
        share: 0 to 1.
    """
    wanted, seen = share * sum(jobs.values()), 0
    for number, count in sorted(jobs.items()):
        seen += count
        if count and seen >= wanted:
            return float(round(SMALLEST_S * RATIO ** (number + 0.5), 3))
    return None
