"""Computes the queue position of a job in weighted fair order. Pure: no I/O, no clock.

A node that becomes free takes a job of the tenant with the least ``vtime``, which then grows by the cost of the job
divided by the tenant's weight. So the position follows from these two and from the number of jobs of each tenant.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import NamedTuple
from uuid import UUID

MAX_EXACT_COUNT = 200  # a larger number of jobs is estimated instead of counted tenant by tenant, which takes longer
MAX_TENANTS = 1000  # further tenants are ignored
TURN_DIGITS = 6  # so that two jobs at the same virtual time compare as equal despite floating-point errors
MIN_COST_S = 0.01  # a job that costs nothing would not end a tenant's turn


class WaitingTenant(NamedTuple):
    """A tenant with queued jobs that is below its concurrency limit.

    Attributes:
        vtime: GPU-seconds used / weight.
        requirements: ids of the requirements of its queued jobs.
    """

    id: UUID
    vtime: float
    weight: float
    queued: int
    requirements: tuple[int, ...] = ()


class CompetingTenant(NamedTuple):
    """A tenant whose jobs compete for the same nodes.

    Attributes:
        cost_s: expected GPU-seconds of one of its jobs.
    """

    tenant: WaitingTenant
    cost_s: float


class _TenantSchedule(NamedTuple):
    """Schedule of a tenant in virtual time: ``queued`` jobs, the first at ``vtime``, then ``rate`` per unit."""

    vtime: float
    rate: float
    queued: int
    id: UUID

    def count_before(self, start: float, tenant_id: UUID) -> int:
        """Count the tenant's jobs that start before a job of another tenant that starts at ``start``."""
        elapsed_turns = round((start - self.vtime) * self.rate, TURN_DIGITS)
        if elapsed_turns < 0:
            return 0
        before = int(elapsed_turns) + 1
        if (
            elapsed_turns == before - 1 and self.id > tenant_id
        ):  # at the same vtime, the tenant with the smaller id is first
            before -= 1
        return min(before, self.queued)

    def estimate_before(self, start: float) -> float:
        """Estimate ``count_before`` without rounding: the elapsed turns plus half a job, so that it is unbiased."""
        elapsed_turns = (start - self.vtime) * self.rate
        return min(elapsed_turns + 0.5, self.queued) if elapsed_turns > 0 else 0.0


class _PrefixSums:
    """Sums over tenants in the order of a virtual time at which each begins to count."""

    def __init__(self, entries: Iterable[tuple[float, _TenantSchedule, float]]) -> None:
        ordered = sorted(
            (begin, schedule.rate, schedule.rate * schedule.vtime, constant) for begin, schedule, constant in entries
        )
        self._begins = [entry[0] for entry in ordered]
        self._rates, self._products, self._constants = (
            [0.0, *accumulate(entry[column] for entry in ordered)] for column in (1, 2, 3)
        )

    def sum_before(self, start: float) -> float:
        """Return the sum of ``(start - vtime) * rate + constant`` of all tenants that count before ``start``."""
        number = bisect_left(self._begins, start)
        return start * self._rates[number] - self._products[number] + self._constants[number]


class FairOrder:
    """The weighted fair order of tenants with queued jobs. Expensive to build, cheap to query."""

    def __init__(self, competitors: Sequence[CompetingTenant]) -> None:
        schedules = [
            _TenantSchedule(tenant.vtime, tenant.weight / max(cost_s, MIN_COST_S), tenant.queued, tenant.id)
            for tenant, cost_s in competitors
        ]
        self._schedules = sorted(schedules, key=lambda schedule: schedule.vtime)
        self._schedule_by_id = {schedule.id: schedule for schedule in schedules}
        # count_before rounds turns, so a tenant with a larger vtime may count too: by less than this.
        self._vtime_tolerance = max((10**-TURN_DIGITS / schedule.rate for schedule in schedules), default=0.0)
        self._begun = _PrefixSums((schedule.vtime, schedule, 0.5) for schedule in schedules)
        self._exhausted = _PrefixSums(
            (schedule.vtime + (schedule.queued - 0.5) / schedule.rate, schedule, 0.5 - schedule.queued)
            for schedule in schedules
        )
        self.mean_cost_s = (
            sum(competitor.cost_s for competitor in competitors) / len(competitors) if competitors else 0.0
        )

    def count_jobs_before(self, *, tenant_id: UUID, vtime: float, weight: float, jobs_ahead: int, cost_s: float) -> int:
        """Count the jobs of other tenants that start before a job; more than ``MAX_EXACT_COUNT`` are estimated.

        Args:
            tenant_id, vtime, weight: id, virtual time and weight of the job's tenant. Its own jobs are not counted.
            jobs_ahead: number of the tenant's jobs that start before this one.
            cost_s: expected GPU-seconds of each job of the tenant.
        """
        start = vtime + jobs_ahead * max(cost_s, MIN_COST_S) / weight
        own = self._schedule_by_id.get(tenant_id)
        estimate = self._begun.sum_before(start) - self._exhausted.sum_before(start)
        estimate -= own.estimate_before(start) if own else 0.0
        if estimate > MAX_EXACT_COUNT:
            return round(estimate)
        count = 0
        for schedule in self._schedules:
            if schedule.vtime > start + self._vtime_tolerance:
                break
            if schedule is not own:
                count += schedule.count_before(start, tenant_id)
        return count
