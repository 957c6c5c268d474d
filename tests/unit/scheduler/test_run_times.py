"""Run times of jobs are predicted from those of finished jobs: by workflow, else by models, else of the fleet."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.domain.durations import (
    BIN_COUNT,
    BIN_RATIO,
    compute_mean,
    compute_midpoint,
    compute_percentile,
    find_bin,
)
from scheduler.domain.run_times import WINDOW, JobKind, RunTimes, SuccessfulRun, add_run

FINGERPRINT, REQUIREMENT, GPU = 7, 3, "H200"
KIND = JobKind(REQUIREMENT, FINGERPRINT, {GPU: 2})


def learned(*runs: SuccessfulRun) -> RunTimes:
    bins: dict[tuple[object, ...], dict[int, float]] = {}
    run_times = RunTimes()
    for run in runs:
        for key in run.list_keys():
            bins[key] = add_run(bins.get(key, {}), run.seconds)
            run_times.replace_histogram(key, bins[key])
    return run_times


def run(seconds: float, *, fingerprint: int = FINGERPRINT, requirement: int = REQUIREMENT, gpu_model: str = GPU,
        loads_models: bool = False) -> SuccessfulRun:  # fmt: skip
    return SuccessfulRun(requirement, fingerprint, gpu_model, loads_models, seconds)


def predict(run_times: RunTimes, kind: JobKind = KIND, *, loads_models: bool = False) -> float | None:
    found = run_times.predict_run_time(kind, loads_models=loads_models)
    return found and found.p50_s


@given(st.floats(min_value=0.01, max_value=500_000))
def test_duration_is_within_10_percent_of_the_middle_of_its_bin(seconds: float) -> None:
    assert 0 <= find_bin(seconds) < BIN_COUNT
    assert compute_midpoint(find_bin(seconds)) == pytest.approx(seconds, rel=BIN_RATIO**0.5 - 1 + 0.05)


@given(st.lists(st.floats(min_value=0.01, max_value=5_000), min_size=1, max_size=WINDOW))
def test_percentiles_of_a_histogram_are_ordered_and_within_its_range(values: list[float]) -> None:
    bins: dict[int, float] = {}
    for value in values:
        bins = add_run(bins, value)
    p50, p90, mean = compute_percentile(bins, 0.5), compute_percentile(bins, 0.9), compute_mean(bins)
    assert p50 is not None
    assert p90 is not None
    assert mean is not None
    low, high = compute_midpoint(find_bin(min(values))), compute_midpoint(find_bin(max(values)))
    assert low <= p50 <= p90 <= high
    assert low * 0.999 <= mean <= high * 1.001


def test_newer_runs_replace_older_ones_and_the_histogram_stays_small() -> None:
    random_ = random.Random(1)  # noqa: S311 - not for secrets
    bins: dict[int, float] = {}
    for _ in range(500):
        bins = add_run(bins, random_.uniform(90, 110))
    for _ in range(WINDOW):
        bins = add_run(bins, random_.uniform(9, 11))
    assert compute_percentile(bins, 0.5) == pytest.approx(10, rel=0.2)
    for _ in range(5 * WINDOW):
        bins = add_run(bins, 10)
    assert set(bins) <= {find_bin(9), find_bin(10), find_bin(11), find_bin(9.5)} | {find_bin(n) for n in range(90, 111)}
    assert sum(bins.values()) < WINDOW + 1


def test_prediction_prefers_history_of_the_workflow_then_of_its_models_then_of_the_fleet() -> None:
    run_times = learned(
        run(100, fingerprint=1, requirement=1), run(20, fingerprint=1, requirement=1), run(20, fingerprint=2), run(5),
        run(60, gpu_model="RTX 3060"),
    )  # fmt: skip
    assert predict(run_times) == pytest.approx(5, rel=0.1)
    assert predict(run_times, KIND._replace(fingerprint=99)) == pytest.approx(5, rel=0.1)  # the newer of 5 and 20
    assert predict(run_times, KIND._replace(nodes_by_gpu={"RTX 3060": 1})) == pytest.approx(60, rel=0.1)
    unknown = JobKind(99, 99, {GPU: 1})
    assert predict(run_times, unknown) == pytest.approx(20, rel=0.1)  # median of all five
    assert predict(RunTimes()) is None


def test_prediction_weights_gpu_types_by_their_number_of_nodes() -> None:
    run_times = learned(*[run(10)] * 5, run(40, gpu_model="RTX 3060"))
    mixed = KIND._replace(nodes_by_gpu={GPU: 1, "RTX 3060": 9})
    assert predict(run_times, mixed) == pytest.approx(40, rel=0.1)


def test_prediction_adds_load_time_for_models_that_are_not_loaded() -> None:
    warm_only = learned(run(5), run(5, fingerprint=2), run(35, fingerprint=2, loads_models=True))
    assert predict(warm_only) == pytest.approx(5, rel=0.1)
    assert predict(warm_only, loads_models=True) == pytest.approx(5 + 30, rel=0.1)
    loading_only = learned(run(40, loads_models=True), run(5, fingerprint=2), run(35, fingerprint=2, loads_models=True))
    assert predict(loading_only, loads_models=True) == pytest.approx(40, rel=0.1)
    assert predict(loading_only) == pytest.approx(40 - 30, rel=0.35)
    assert predict(learned(run(5)), loads_models=True) == pytest.approx(5, rel=0.1)


def test_prediction_is_the_median_and_the_time_that_90_percent_of_runs_do_not_exceed() -> None:
    runs = [run(seconds) for seconds in [*[10.0] * 7, 40.0] * 3 + [200.0]] * 4  # 84 % take 10 s, 12 % take 40 s
    found = learned(*runs).predict_run_time(KIND, loads_models=False)
    assert found is not None
    assert found.p50_s == pytest.approx(10, rel=0.1)
    assert found.p90_s == pytest.approx(40, rel=0.1)


def test_estimate_from_few_runs_has_a_wide_range() -> None:
    few, many = learned(run(10)), learned(*[run(10)] * 50)
    narrow, wide = many.predict_run_time(KIND, loads_models=False), few.predict_run_time(KIND, loads_models=False)
    assert narrow is not None
    assert wide is not None
    assert wide.p90_s == pytest.approx(2 * wide.p50_s)
    assert narrow.p90_s < 1.05 * narrow.p50_s


def test_remaining_time_counts_only_runs_that_took_longer() -> None:
    run_times = learned(*[run(10)] * 3, run(100))
    early = run_times.predict_remaining_time(KIND, elapsed_s=2)
    late = run_times.predict_remaining_time(KIND, elapsed_s=50)
    assert early is not None
    assert late is not None
    assert early.p50_s == pytest.approx(8, rel=0.15)
    assert late.p50_s == pytest.approx(50, rel=0.2)
    assert run_times.predict_remaining_time(KIND, elapsed_s=1000) is None
