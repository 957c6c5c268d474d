"""Workloads match their parameters, and results match the simulated run."""

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.simulate.compare import describe_runs, render_table, run_policies
from tests.simulate.fleet import Fleet
from tests.simulate.other_policies import FirstComeFirstServed
from tests.simulate.plots import write_plots
from tests.simulate.results import Waits, compute_jain, compute_jain_in_windows, compute_shares, list_backlogs, measure
from tests.simulate.swap_bound import bound_loads
from tests.simulate.targets import Target
from tests.simulate.workload import Model, Shape, Submission, Tenant, Workload, draw_workload, read_trace


def build_workload(*jobs: tuple[float, int, int], nodes: int = 1) -> Workload:
    """Build a workload from (time, tenant, model) triples. Each job takes 10 s, and loading takes no time."""
    models = [Model(f"model-{number}", 10.0, 0.0) for number in range(5)]
    tenants = [Tenant("a"), Tenant("b", weight=2.0)]
    return Workload(models, tenants, [16.0] * nodes, [Submission(*job, run_s=10.0) for job in jobs], gap_s=0.0)


def test_random_workload_has_zipf_distributed_models_and_the_requested_load() -> None:
    shape = Shape(jobs=20_000, nodes=4, models=10, zipf=1.0, load=0.5)
    workload = draw_workload(shape, seed=1)
    counts = Counter(one.model for one in workload.submissions)
    assert counts[0] / counts[4] == pytest.approx(5, rel=0.1)
    offered = sum(one.run_s for one in workload.submissions) / workload.submissions[-1].at / shape.nodes
    assert offered == pytest.approx(0.5, rel=0.05)


def test_shares_assign_jobs_to_tenants_and_each_burst_has_one_tenant() -> None:
    workload = draw_workload(Shape(jobs=10_000, weights=(1.0,) * 3, shares=(90, 5, 5), arrivals="backlog"), seed=1)
    counts = Counter(one.tenant for one in workload.submissions)
    assert counts[0] / 10_000 == pytest.approx(0.9, abs=0.02)
    bursts: dict[float, set[int]] = {}
    for one in draw_workload(Shape(jobs=200, arrivals="bursts"), seed=1).submissions:
        bursts.setdefault(one.at, set()).add(one.tenant)
    assert len(bursts) == 10
    assert all(len(tenants) == 1 for tenants in bursts.values())
    with pytest.raises(ValueError, match="one share for each weight"):
        draw_workload(Shape(weights=(1.0,), shares=(1.0, 2.0)), seed=1)


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_trace_is_read_from_json_lines_and_csv(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"trace.{suffix}"
    if suffix == "csv":
        path.write_text("at,tenant,model,run_s,weight,load_s\n3,b,x,2,4,\n1,a,x,5,,7\n")
    else:
        records = [{"at": 3, "tenant": "b", "model": "x", "run_s": 2, "weight": 4}]
        records.append({"at": 1, "tenant": "a", "model": "x", "run_s": 5})
        path.write_text("\n".join(map(json.dumps, records)))
    workload = read_trace(path, Shape(nodes=3))
    assert [(one.at, workload.tenants[one.tenant].name, one.run_s) for one in workload.submissions] == [
        (1, "a", 5),
        (3, "b", 2),
    ]
    assert workload.tenants == [Tenant("b", 4), Tenant("a", 1)]
    assert len(workload.vram_gb) == 3
    path.write_text('{"at": 1}' if suffix == "jsonl" else "at\n1\n")
    with pytest.raises(ValueError, match="record 1: KeyError"):
        read_trace(path, Shape())


def test_results_of_a_small_run_match_hand_computed_values() -> None:
    workload = build_workload((0, 0, 0), (0, 0, 0), (0, 1, 1), (100, 1, 0))
    ledger = Fleet(workload).run(FirstComeFirstServed)
    figures = measure(workload, ledger)
    assert figures.makespan_s == 110
    assert figures.running == pytest.approx(40 / 110)
    assert figures.waits == Waits(10, 20, 20)
    assert figures.waits_by_tenant["a"] == Waits(10, 10, 10)
    assert list_backlogs(workload, ledger) == [[(0, 10)], [(0, 20)]]


def test_jain_index_compares_tenants_with_backlogs_by_weight() -> None:
    assert compute_jain([1, 1, 1]) == 1
    assert compute_jain([1, 0, 0, 0]) == 0.25
    fair = build_workload(*((0.0, tenant, 0) for tenant in (0, 1, 1) * 20))
    unfair = build_workload(*((0.0, tenant, 0) for tenant in (0, 0, 0, 1) * 20))
    for workload, index in ((fair, 1.0), (unfair, 0.66)):
        ledger = Fleet(workload).run(FirstComeFirstServed)
        assert compute_jain_in_windows(workload, ledger, window_s=120.0) == pytest.approx(index, abs=0.02)
        assert compute_jain_in_windows(workload, ledger, window_s=1e6) is None
    shares = compute_shares(fair, Fleet(fair).run(FirstComeFirstServed))
    assert shares["b"] == pytest.approx(2 / 3, abs=0.02)


def test_lower_bound_of_model_loads_matches_hand_computed_cases() -> None:
    alternating = build_workload(*((20.0 * number, 0, number % 2) for number in range(6)))
    at_once = [one.at for one in alternating.submissions]
    assert bound_loads(alternating, at_once) == 4  # the optimum is six; a bound from disjoint intervals misses two
    assert bound_loads(alternating, [1000.0] * 6) == 2
    copies = build_workload(*((0.0, 0, 0) for _ in range(4)), nodes=4)
    assert bound_loads(copies, [0.0] * 4) == 4
    assert bound_loads(copies, [30.0] * 4) == 1


def test_results_are_shown_as_a_table_json_and_plots(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    workload = draw_workload(Shape(jobs=100), seed=1)
    runs = run_policies(workload, ["comfyfleet", "fifo"], seed=1, bound_s=30.0, with_least=True)
    assert [line.split()[0] for line in render_table(runs).splitlines()] == ["policy", "comfyfleet", "fifo"]
    described = json.loads(json.dumps(describe_runs(runs)))
    assert described[0]["least_loads"] <= described[0]["loads"]
    assert set(described[0]["tenants"]) == {tenant.name for tenant in workload.tenants}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in write_plots(tmp_path, runs))


def test_target_is_met_only_if_each_seed_meets_it() -> None:
    assert Target("swaps", 0.5, is_most=True, values=[0.1, 0.5]).render().split()[0] == "met"
    assert Target("Jain index", 0.95, is_most=False, values=[1.0, 0.9]).render().split()[0] == "MISSED"
