"""Every policy runs every job once, and a node runs one job at a time; loads and swaps match hand-computed counts."""

import random
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulate.compare import POLICIES
from tests.simulate.fleet import Fleet, Job, Ledger, Node, Policy
from tests.simulate.other_policies import Exhaustive, FirstComeFirstServed, LeastLoaded, Pressure, RoundRobin
from tests.simulate.scheduler_policy import SchedulerPolicy
from tests.simulate.swap_bound import bound_loads
from tests.simulate.workload import Model, Shape, Submission, Tenant, Workload, draw_workload

BUILDERS: Sequence[Callable[[Fleet], Policy]] = tuple(POLICIES.values())


def build_workload(
    *jobs: tuple[float, int, int],
    nodes: int = 1,
    weights: Sequence[float] = (1.0, 1.0),
    run_s: float = 10.0,
    vram_gb: float = 16.0,
) -> Workload:
    """Build a workload from (time, tenant, model) triples. Each model has 10 GB and loads in 5 s."""
    models = [Model(f"model-{number}", 10.0, 5.0) for number in range(4)]
    tenants = [Tenant(f"tenant-{number}", weight) for number, weight in enumerate(weights)]
    submissions = [Submission(at, tenant, model, run_s) for at, tenant, model in jobs]
    return Workload(models, tenants, [vram_gb] * nodes, submissions, gap_s=0.0)


def list_order(ledger: Ledger) -> list[int]:
    return sorted(range(len(ledger.starts)), key=lambda number: ledger.starts[number])


workloads = st.builds(
    lambda seed, nodes, arrivals, load, weights: draw_workload(
        Shape(nodes=nodes, models=5, jobs=60, arrivals=arrivals, load=load, weights=weights, vram_gb=30.0), seed=seed
    ),
    st.integers(0, 1000),
    st.integers(1, 4),
    st.sampled_from(["poisson", "backlog", "bursts"]),
    st.floats(0.2, 1.5),
    st.sampled_from([(1.0,), (1.0, 2.0, 4.0)]),
)


@pytest.mark.parametrize("build", BUILDERS, ids=list(POLICIES))
@settings(max_examples=15, deadline=None)
@given(workload=workloads)
def test_each_job_runs_once_and_each_node_runs_one_job_at_a_time(
    build: Callable[[Fleet], Policy], workload: Workload
) -> None:
    ledger = Fleet(workload).run(build)
    by_node: dict[int, list[tuple[float, float]]] = {}
    for number, one in enumerate(workload.submissions):
        assert ledger.starts[number] >= one.at
        assert ledger.ends[number] == pytest.approx(ledger.starts[number] + ledger.loads[number] + one.run_s)
        by_node.setdefault(ledger.nodes[number], []).append((ledger.starts[number], ledger.ends[number]))
    assert sum(map(len, by_node.values())) == len(workload.submissions)
    for intervals in by_node.values():
        assert all(end <= start for (_, end), (start, _) in pairwise(sorted(intervals)))
    assert bound_loads(workload, ledger.starts) <= sum(load > 0 for load in ledger.loads)


@pytest.mark.parametrize("build", BUILDERS, ids=list(POLICIES))
def test_same_seed_gives_the_same_result(build: Callable[[Fleet], Policy]) -> None:
    shape = Shape(jobs=200, nodes=3, arrivals="bursts")
    first, second, other = (Fleet(draw_workload(shape, seed=seed)).run(build) for seed in (1, 1, 2))
    assert first == second
    assert first != other


def test_policy_that_drops_or_repeats_a_job_is_refused() -> None:
    class Dropping(FirstComeFirstServed):
        def submit(self, job: Job) -> None:
            if job.number:
                super().submit(job)

    class Repeating(FirstComeFirstServed):
        def claim(self, node: Node) -> None:
            job = self._queue[0]
            self.fleet.start(job, node)

    workload = build_workload((0, 0, 0), (0, 0, 0))
    with pytest.raises(RuntimeError, match="never started 1 jobs"):
        Fleet(workload).run(Dropping)
    with pytest.raises(RuntimeError, match="cannot start"):
        Fleet(workload).run(Repeating)


def test_model_loads_and_swaps_are_counted() -> None:
    models = (0, 0, 1, 0, 2, 2)
    ledger = Fleet(build_workload(*((0.0, 0, model) for model in models))).run(FirstComeFirstServed)
    assert ledger.loads == [5, 0, 5, 5, 5, 0]
    assert ledger.swaps == [False, False, True, True, True, False]
    assert ledger.starts == [0, 15, 25, 40, 55, 70]


def test_node_keeps_the_models_that_it_used_last() -> None:
    models = (0, 1, 0, 2, 0, 1)
    workload = build_workload(*((0.0, 0, model) for model in models), vram_gb=20.0)
    ledger = Fleet(workload).run(FirstComeFirstServed)
    assert ledger.loads == [5, 5, 0, 5, 0, 5]
    assert ledger.swaps == [False, False, False, True, False, True]


def test_job_that_fits_on_no_node_is_refused_and_small_nodes_get_no_large_models() -> None:
    with pytest.raises(ValueError, match="model-1: 10 GB"):
        build_workload((0, 0, 1), vram_gb=9.0)
    models = [Model("small", 5.0, 5.0), Model("large", 20.0, 5.0)]
    random.seed(1)
    submissions = [Submission(0.0, 0, random.randrange(2), 10.0) for _ in range(20)]  # noqa: S311 - a simulation
    workload = Workload(models, [Tenant("a")], [8.0, 24.0], submissions)
    for build in BUILDERS:
        ledger = Fleet(workload).run(build)
        assert {ledger.nodes[number] for number, one in enumerate(submissions) if one.model == 1} == {1}


def test_fifo_policy_starts_jobs_in_submission_order() -> None:
    ledger = Fleet(build_workload((0, 0, 0), (0, 0, 1), (0, 1, 0))).run(FirstComeFirstServed)
    assert list_order(ledger) == [0, 1, 2]


def test_round_robin_policy_alternates_between_tenants() -> None:
    ledger = Fleet(build_workload((0, 0, 0), (0, 0, 0), (0, 0, 0), (0, 1, 0), (0, 1, 0))).run(RoundRobin)
    assert list_order(ledger) == [0, 1, 3, 2, 4]


def test_least_loaded_policy_sends_each_job_to_the_shortest_queue_at_once() -> None:
    jobs = [(0.0, 0, 0), (0.0, 0, 1), (0.0, 0, 1), (16.0, 0, 0), (16.0, 0, 0)]
    ledger = Fleet(build_workload(*jobs, nodes=2)).run(LeastLoaded)
    assert ledger.nodes == [0, 1, 0, 1, 0]


def test_pressure_policy_loads_the_model_with_most_requests_after_a_minimum_wait() -> None:
    jobs = [(0.0, 0, 0), (0.0, 0, 1), (0.0, 0, 1)]
    ledger = Fleet(build_workload(*jobs, nodes=2)).run(Pressure)
    assert ledger.starts[0] == 2.0  # in the second pass of the loop; after that only the other node is idle
    assert ledger.starts[1] == 2.0
    assert ledger.nodes[1] != ledger.nodes[0]
    ledger = Fleet(build_workload(*jobs)).run(Pressure)
    assert list_order(ledger) == [0, 1, 2]
    ledger = Fleet(build_workload((0.0, 0, 0), (1.0, 0, 1), (1.0, 0, 2), (1.0, 0, 2))).run(Pressure)
    assert list_order(ledger) == [0, 2, 1, 3]  # most requests first, then the oldest request


def test_exhaustive_policy_leaves_a_model_only_when_no_job_needs_it() -> None:
    ledger = Fleet(build_workload(*((0.0, 0, model) for model in (0, 1, 0, 2, 1, 0)))).run(Exhaustive)
    assert list_order(ledger) == [0, 2, 5, 1, 4, 3]


def test_scheduler_policy_prefers_warm_jobs_until_the_warm_bound() -> None:
    jobs = [(0.0, 0, 0), *((1.0, 0, model) for model in (1, 0, 0, 0, 0, 0, 0))]
    ledger = Fleet(build_workload(*jobs)).run(SchedulerPolicy)
    assert list_order(ledger) == [0, 2, 3, 4, 1, 5, 6, 7]  # job 1 is first passed over at 15 s, and overdue at 45 s
    assert sum(load > 0 for load in ledger.loads) == 3


def test_scheduler_policy_serves_tenants_by_weight() -> None:
    jobs = [(0.0, tenant, 0) for tenant in (0, 1) for _ in range(30)]
    ledger = Fleet(build_workload(*jobs, weights=(1.0, 2.0))).run(SchedulerPolicy)
    assert sum(number >= 30 for number in list_order(ledger)[:30]) == pytest.approx(20, abs=1)


def test_scheduler_policy_runs_a_job_on_the_node_that_has_loaded_its_model() -> None:
    jobs = [(0.0, 0, 0), (0.0, 0, 1), (20.0, 0, 1), (20.0, 0, 0)]
    ledger = Fleet(build_workload(*jobs, nodes=2)).run(SchedulerPolicy)
    assert ledger.nodes == [0, 1, 1, 0]
    assert ledger.loads == [5, 5, 0, 0]
