"""A lower bound for the number of model loads, so that a policy can be compared with the best possible schedule."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from math import ceil

from tests.simulate.workload import Workload

MAX_JOBS = 400  # maximum number of jobs whose deadlines lie within one interval
MAX_TRIED_JOBS = 64  # the deadlines of this many jobs are all tried as the end of an interval
END_EVERY_JOBS = 8  # of later jobs, one deadline in this many is tried, and that of each model's first job
ROUNDING = 1e-9


def bound_loads(workload: Workload, deadlines: Sequence[float]) -> int:
    """Compute a number of loads that no schedule undercuts that starts each job by its deadline.

    Take an interval of time. Jobs that are submitted and must start within it need at least one node with their model
    each, and more if one cannot do the work: a node starts no more work than the interval's length and one job.
    At the beginning of the interval, the memories hold so many models; each further one is a load. The result is the
    largest sum over intervals that do not overlap. The schedule may know the future, and loading may take no time.

    Args:
        deadlines: latest start of each job.
    """
    submissions = workload.submissions
    slots = len(workload.vram_gb) * _count_models_that_fit(workload)
    by_deadline = sorted(range(len(submissions)), key=lambda number: deadlines[number])
    ordered = [deadlines[number] for number in by_deadline]
    begins = sorted({one.at for one in submissions})
    best = [0] * (len(begins) + 1)  # best[n]: largest sum over intervals that begin at begins[n] or later
    for number in range(len(begins) - 1, -1, -1):
        begin = begins[number]
        held = slots if number else 0  # nothing is loaded before the first submission
        found, work, longest = best[number + 1], dict[int, float](), dict[int, float]()
        first = bisect_left(ordered, begin)
        for position in range(first, min(first + MAX_JOBS, len(ordered))):
            one, end = submissions[by_deadline[position]], ordered[position]
            if one.at < begin:
                continue
            is_new = one.model not in work
            work[one.model] = work.get(one.model, 0.0) + one.run_s
            longest[one.model] = max(longest.get(one.model, 0.0), one.run_s)
            if not is_new and position >= first + MAX_TRIED_JOBS and position % END_EVERY_JOBS:
                continue
            needed = sum(ceil(run_s / (end - begin + longest[model]) - ROUNDING) for model, run_s in work.items())
            if needed > held:
                found = max(found, needed - held + best[bisect_right(begins, end)])
        best[number] = found
    return best[0]


def _count_models_that_fit(workload: Workload) -> int:
    """Count how many models fit into the largest node at most."""
    left_gb, count = max(workload.vram_gb), 0
    for model in sorted(workload.models, key=lambda one: one.size_gb):
        left_gb -= model.size_gb
        if left_gb < 0:
            break
        count += 1
    return count
