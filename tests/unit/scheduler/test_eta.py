"""Positions follow from turns of tenants, and estimates from positions; both are checked against a simulation."""

import heapq
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scheduler.domain.eta import Concurrency, Eta, NodeSchedule, estimate_eta
from scheduler.domain.eta_accuracy import EtaResult, EtaStage, compare_estimate, count_comparisons, measure_accuracy
from scheduler.domain.fair_order import MAX_EXACT_COUNT, CompetingTenant, FairOrder, WaitingTenant
from scheduler.domain.run_times import RunTime

UNLIMITED = Concurrency(None, 0, 0)


def simulate_position(tenants: list[tuple[float, float, int]], own: int, jobs_ahead: int, cost_s: float) -> int:
    """Simulate claims one by one; return which of them takes tenant ``own``'s job with ``jobs_ahead`` before it."""
    turns = [(vtime, number, 0) for number, (vtime, _, queued) in enumerate(tenants) if queued]
    heapq.heapify(turns)
    position = 0
    while True:
        _, number, done = heapq.heappop(turns)
        position += 1
        if (number, done) == (own, jobs_ahead):
            return position
        if done + 1 < tenants[number][2]:
            first, weight, _ = tenants[number]
            heapq.heappush(turns, (first + (done + 1) * cost_s / weight, number, done + 1))


@given(
    st.lists(
        st.tuples(st.integers(0, 40).map(float), st.sampled_from([1.0, 2.0, 4.0]), st.integers(1, 30)),
        min_size=1,
        max_size=6,
    ),
    st.data(),
)
def test_position_matches_a_simulated_weighted_fair_order(
    tenants: list[tuple[float, float, int]], data: st.DataObject
) -> None:
    own = data.draw(st.integers(0, len(tenants) - 1))
    vtime, weight, queued = tenants[own]
    ahead = data.draw(st.integers(0, queued - 1))
    cost_s = 4.0  # with these weights and times, all sums are exact
    competitors = [
        CompetingTenant(WaitingTenant(UUID(int=number), vtime, weight, queued), cost_s)
        for vtime, number, weight, queued in sorted(
            (vtime, number, weight, queued) for number, (vtime, weight, queued) in enumerate(tenants)
        )
    ]
    others = FairOrder(competitors).count_jobs_before(
        tenant_id=UUID(int=own), vtime=vtime, weight=weight, jobs_ahead=ahead, cost_s=cost_s
    )
    assert others + ahead + 1 == simulate_position(tenants, own, ahead, cost_s)


@given(
    st.floats(0, 1e6), st.floats(0.01, 1000), st.lists(st.sampled_from([1.0, 2.0, 3.0, 4.0]), min_size=2, max_size=5)
)
def test_jobs_at_the_same_virtual_time_get_different_positions(
    vtime: float, cost_s: float, weights: list[float]
) -> None:
    jobs = 5
    competitors = [
        CompetingTenant(WaitingTenant(UUID(int=number), vtime, weight, jobs), cost_s)
        for number, weight in enumerate(weights)
    ]
    order = FairOrder(competitors)
    positions = [
        ahead
        + order.count_jobs_before(
            tenant_id=UUID(int=number), vtime=vtime, weight=weight, jobs_ahead=ahead, cost_s=cost_s
        )
        for number, weight in enumerate(weights)
        for ahead in range(jobs)
    ]
    assert sorted(positions) == list(range(jobs * len(weights)))


@given(
    st.lists(
        st.tuples(st.floats(0, 100), st.sampled_from([1.0, 2.0, 4.0]), st.integers(1, 5_000)), min_size=1, max_size=50
    ),
    st.integers(0, 4_000),
)
def test_estimated_position_beyond_the_exact_range_is_within_one_job_per_tenant(
    tenants: list[tuple[float, float, int]], ahead: int
) -> None:
    tenants = [*tenants, (50.0, 1.0, ahead + 1)]
    competitors = [
        CompetingTenant(WaitingTenant(UUID(int=number), vtime, weight, queued), 4.0)
        for number, (vtime, weight, queued) in enumerate(tenants)
    ]
    own = UUID(int=len(tenants) - 1)
    before = FairOrder(competitors).count_jobs_before(
        tenant_id=own, vtime=50.0, weight=1.0, jobs_ahead=ahead, cost_s=4.0
    )
    start = 50.0 + ahead * 4.0
    actual = sum(
        min(queued, int((start - vtime) * weight / 4.0) + 1) for vtime, weight, queued in tenants[:-1] if vtime <= start
    )
    assert abs(before - actual) <= len(tenants)
    assert before == actual or before > MAX_EXACT_COUNT - len(tenants) or ahead == 0


def test_job_of_a_tenant_with_few_jobs_starts_before_the_backlog_of_others() -> None:
    heavy = [CompetingTenant(WaitingTenant(UUID(int=number), 1000.0, 1.0, 10_000), 1.0) for number in range(1, 4)]
    light, order = UUID(int=99), FairOrder(heavy)
    assert order.count_jobs_before(tenant_id=light, vtime=999.0, weight=1.0, jobs_ahead=0, cost_s=1.0) == 0
    assert order.count_jobs_before(tenant_id=light, vtime=1000.0, weight=1.0, jobs_ahead=0, cost_s=1.0) == 3
    assert order.count_jobs_before(tenant_id=light, vtime=1000.0, weight=4.0, jobs_ahead=4, cost_s=1.0) == 3 * 2


@given(
    st.lists(st.floats(0, 10), min_size=1, max_size=8),
    st.integers(1, 200),
    st.floats(min_value=0.1, max_value=20),
)
def test_estimated_start_is_within_one_job_of_a_simulation(busy_s: list[float], position: int, job_s: float) -> None:
    free = list(busy_s)
    heapq.heapify(free)
    started = 0.0
    for _ in range(position):
        started = heapq.heappop(free)
        heapq.heappush(free, started + job_s)
    assert NodeSchedule(busy_s).compute_start(position, job_s) == pytest.approx(
        started, abs=max(job_s, 10 / len(busy_s))
    )


@example([0.0, 0.0, 5.616470994322784, 5.616470994322784], 5.616470994322784)
@given(st.lists(st.floats(0, 10), min_size=1, max_size=8), st.floats(min_value=0.1, max_value=20))
def test_estimated_start_never_decreases_with_the_position(busy_s: list[float], job_s: float) -> None:
    nodes = NodeSchedule(busy_s)
    starts = [nodes.compute_start(position, job_s) for position in range(1, 30)]
    assert all(earlier <= later + 1e-6 for earlier, later in pairwise(starts))


def test_estimate_adds_the_wait_for_nodes_and_for_the_limit_of_the_tenant() -> None:
    own = RunTime(8.0, 10.0)
    idle = estimate_eta(NodeSchedule([0.0, 5.0]), position=1, own=own, job_s=4.0, spread_s=1.0, concurrency=UNLIMITED)
    assert idle == Eta(0.0, 0.0, 8.0, 10.0)
    queued = estimate_eta(
        NodeSchedule([2.0, 2.0]), position=10, own=own, job_s=4.0, spread_s=1.0, concurrency=UNLIMITED
    )
    assert queued.start_s == pytest.approx(2 + 8 * 4 / 2)
    assert queued.end_s == pytest.approx(queued.start_s + 8)
    assert queued.end_s < queued.end_p90_s < queued.end_s + 8
    limited = Concurrency(limit=1, running=1, jobs_ahead=3)
    waiting = estimate_eta(NodeSchedule([0.0] * 9), position=4, own=own, job_s=4.0, spread_s=1.0, concurrency=limited)
    assert waiting.start_s == pytest.approx(3.5 * 4)


def test_accuracy_counts_results_and_ratios_by_stage() -> None:
    estimate = Eta(start_s=4.0, start_p90_s=6.0, end_s=9.0, end_p90_s=12.0)
    found = [
        one
        for started_s, ended_s in ((3.0, 9.0), (5.0, 12.0), (9.0, 29.0), (4.0, 8.0))
        for one in compare_estimate(estimate, started_s=started_s, ended_s=ended_s)
    ]
    assert [one.result for one in found if one.stage is EtaStage.END] == [
        EtaResult.EARLY, EtaResult.LATE, EtaResult.MISSED, EtaResult.EARLY,
    ]  # fmt: skip
    accuracy = measure_accuracy(count_comparisons(found))
    start, end = accuracy[EtaStage.START], accuracy[EtaStage.END]
    assert (start.jobs, start.within_p50, start.within_p90) == (4, 0.5, 0.75)
    assert (end.jobs, end.within_p50, end.within_p90) == (4, 0.5, 0.75)
    assert end.ratio_p50 == pytest.approx(1.0, rel=0.1)
    assert end.ratio_p90 == pytest.approx(3.0, rel=0.1)
    assert measure_accuracy([]) == {}
