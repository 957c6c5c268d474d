"""The search finds the schedule with the fewest loads that keeps the scheduler's rules."""

import pytest

from tests.simulate.best_schedule import Found, find_fewest_loads
from tests.simulate.fleet import Fleet
from tests.simulate.scheduler_policy import SchedulerPolicy
from tests.simulate.workload import Shape, draw_workload
from tests.unit.simulate.test_fleet import build_workload

BOUND_S = 30.0


def test_jobs_of_one_model_run_together_within_the_bound_only() -> None:
    workload = build_workload(*((0.0, 0, model) for model in (0, 1, 0, 1)))
    assert find_fewest_loads(workload, bound_s=BOUND_S, at_most=4) == Found(2, is_optimum=True)
    assert find_fewest_loads(workload, bound_s=0.0, at_most=4) == Found(4, is_optimum=True)
    long = build_workload(*((0.0, 0, model) for model in (0, 1, 0, 0, 0, 0, 0)))
    assert find_fewest_loads(long, bound_s=BOUND_S, at_most=7) == Found(2, is_optimum=True)  # the second job first
    forced = build_workload(*((0.0, 0, model) for model in (0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1)))
    assert find_fewest_loads(forced, bound_s=BOUND_S, at_most=12).loads > 2


def test_tenants_stay_within_one_job_of_each_other() -> None:
    jobs = [(0.0, tenant, tenant) for tenant in (0, 1) for _ in range(4)]
    together = find_fewest_loads(build_workload(*jobs), bound_s=BOUND_S, at_most=8)
    assert together.is_optimum
    assert 2 < together.loads <= 4
    assert find_fewest_loads(build_workload(*jobs, nodes=2), bound_s=BOUND_S, at_most=8).loads == 2


def test_idle_node_may_defer_a_job_to_a_busy_one_for_as_long_as_a_load() -> None:
    for submitted_at, loads in ((12.0, 1), (8.0, 2)):  # the first job ends after 15 s, and a load takes 5 s
        workload = build_workload((0.0, 0, 0), (submitted_at, 0, 0), nodes=2)
        assert find_fewest_loads(workload, bound_s=BOUND_S, at_most=2) == Found(loads, is_optimum=True)


@pytest.mark.parametrize("seed", range(1, 4))
def test_policy_needs_no_fewer_loads_than_the_optimum_and_a_narrow_search_finds_no_better_one(seed: int) -> None:
    shape = Shape(nodes=2, models=3, zipf=0.0, weights=(1.0, 1.0), jobs=9, arrivals="backlog", run_spread=0.0)
    workload = draw_workload(shape, seed=seed)
    loads = sum(load > 0 for load in Fleet(workload).run(SchedulerPolicy).loads)
    best = find_fewest_loads(workload, bound_s=BOUND_S, at_most=loads)
    assert best.is_optimum
    assert len({one.model for one in workload.submissions}) <= best.loads <= loads
    narrow = find_fewest_loads(workload, bound_s=BOUND_S, at_most=loads, width=5)
    assert not narrow.is_optimum
    assert best.loads <= narrow.loads
