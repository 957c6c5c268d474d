"""Estimates when a job starts and ends. Pure: no I/O, no clock.

It assumes that the nodes that can run the job run the jobs before it one after another, each for the mean run time.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate
from typing import NamedTuple

from scheduler.domain.run_times import RunTime

MIN_JOB_S = 0.001


class Eta(NamedTuple):
    """Seconds until a job starts and ends: the median, and what 90 % of such jobs are expected not to exceed."""

    start_s: float
    start_p90_s: float
    end_s: float
    end_p90_s: float


class Concurrency(NamedTuple):
    """The concurrency limit of a tenant.

    Attributes:
        limit: None means unlimited.
        running: its live attempts.
        jobs_ahead: number of its queued jobs that start before the estimated one.
    """

    limit: int | None
    running: int
    jobs_ahead: int


class NodeSchedule:
    """Nodes that take jobs as they become free.

    Args:
        busy_s: seconds until each node is free, 0 if it is free now; for at least one node.
    """

    def __init__(self, busy_s: Iterable[float]) -> None:
        self._busy_s = sorted(busy_s)
        self._sums = list(accumulate(self._busy_s))

    def __len__(self) -> int:
        return len(self._busy_s)

    @property
    def idle_count(self) -> int:
        """Number of nodes that are free now."""
        return bisect_right(self._busy_s, 0.0)

    def compute_start(self, position: int, job_s: float) -> float:
        """Return after how many seconds the job at this position starts, if every job takes ``job_s`` seconds.

        That is when the nodes that are free by then have finished enough of the jobs before it.
        """
        if position <= self.idle_count:
            return 0.0
        job_s = max(job_s, MIN_JOB_S)
        low, high = 1, len(self._busy_s)
        while low < high:  # the first number of nodes after which the next one becomes free too late
            middle = (low + high) // 2
            if self._compute_start_on(middle, position, job_s) <= self._busy_s[middle]:
                high = middle
            else:
                low = middle + 1
        return max(self._compute_start_on(low, position, job_s), self._busy_s[low - 1])

    def _compute_start_on(self, nodes: int, position: int, job_s: float) -> float:
        return (self._sums[nodes - 1] + (position - nodes) * job_s) / nodes


def estimate_eta(
    nodes: NodeSchedule, *, position: int, own: RunTime, job_s: float, spread_s: float, concurrency: Concurrency
) -> Eta:
    """Estimate when a queued job starts and ends.

    Args:
        position: 1 for the job that starts next.
        own: predicted run time of the job.
        job_s: mean run time of the jobs before it.
        spread_s: 90th percentile of the run time of the jobs before it, minus the median.
        concurrency: concurrency limit of the job's tenant.
    """
    start_s = max(nodes.compute_start(position, job_s), _estimate_limit_wait(concurrency, job_s))
    rounds = start_s / max(job_s, MIN_JOB_S)  # jobs before it on the same node
    queue_spread_s = math.sqrt(rounds) * spread_s
    end_s = start_s + own.p50_s
    return Eta(
        start_s=start_s,
        start_p90_s=start_s + queue_spread_s,
        end_s=end_s,
        end_p90_s=end_s + math.hypot(queue_spread_s, own.p90_s - own.p50_s),
    )


def _estimate_limit_wait(concurrency: Concurrency, job_s: float) -> float:
    """Return after how many seconds enough jobs of the tenant have ended for one more to start."""
    if concurrency.limit is None:
        return 0.0
    jobs_to_end = concurrency.jobs_ahead + 1 - (concurrency.limit - concurrency.running)
    elapsed_jobs = 0.5 if concurrency.running else 0.0  # the running jobs are half done on average
    return (jobs_to_end - elapsed_jobs) * job_s / max(concurrency.limit, 1) if jobs_to_end > 0 else 0.0
