"""Compares how long a job took with the estimate that was given at its submission. Pure: no I/O, no clock."""

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

from scheduler.domain.durations import compute_percentile, find_bin
from scheduler.domain.eta import Eta

RATIO_OFFSET_S = 1.0  # added to both times of a ratio, so that it stays near 1 for differences of milliseconds


class EtaStage(StrEnum):
    START = "start"
    END = "end"


class EtaResult(StrEnum):
    """How the actual time compares with the estimate."""

    EARLY = "early"  # up to the median of the estimate
    LATE = "late"  # later, up to its 90th percentile
    MISSED = "missed"  # later than that


class EtaComparison(NamedTuple):
    """The actual time from the submission to the start or end of a job, compared with the estimate.

    Attributes:
        ratio: actual / estimated, with ``RATIO_OFFSET_S`` added to both.
    """

    stage: EtaStage
    result: EtaResult
    ratio: float

    @property
    def ratio_bin(self) -> int:
        return find_bin(self.ratio)


class AccuracyTotals(NamedTuple):
    """The number of comparisons with the same stage, result and bin."""

    stage: EtaStage
    result: EtaResult
    bin: int
    jobs: int


class Accuracy(NamedTuple):
    """Accuracy of the estimates of one stage.

    Attributes:
        within_p50, within_p90: share of the jobs that took no longer than the estimated median, and than the estimated
            90th percentile.
        ratio_p50, ratio_p90: percentiles of actual / estimated.
    """

    jobs: int
    within_p50: float
    within_p90: float
    ratio_p50: float
    ratio_p90: float


def compare_estimate(estimate: Eta, *, started_s: float, ended_s: float) -> tuple[EtaComparison, EtaComparison]:
    """Compare an estimate with the seconds from the submission of a job to its start and its end."""
    return (
        _compare_stage(EtaStage.START, started_s, estimate.start_s, estimate.start_p90_s),
        _compare_stage(EtaStage.END, ended_s, estimate.end_s, estimate.end_p90_s),
    )


def count_comparisons(comparisons: Iterable[EtaComparison]) -> list[AccuracyTotals]:
    """Count comparisons by stage, result and bin; sorted by these."""
    counted = Counter((comparison.stage, comparison.result, comparison.ratio_bin) for comparison in comparisons)
    return [AccuracyTotals(*key, jobs) for key, jobs in sorted(counted.items())]


def measure_accuracy(totals: Iterable[AccuracyTotals]) -> dict[EtaStage, Accuracy]:
    """Compute the accuracy of each stage that has comparisons."""
    by_stage: dict[EtaStage, list[AccuracyTotals]] = {}
    for total in totals:
        by_stage.setdefault(total.stage, []).append(total)
    return {stage: _measure_stage(found) for stage, found in by_stage.items()}


def _compare_stage(stage: EtaStage, actual_s: float, p50_s: float, p90_s: float) -> EtaComparison:
    result = EtaResult.EARLY if actual_s <= p50_s else EtaResult.LATE if actual_s <= p90_s else EtaResult.MISSED
    return EtaComparison(stage, result, (max(actual_s, 0.0) + RATIO_OFFSET_S) / (p50_s + RATIO_OFFSET_S))


def _measure_stage(totals: Iterable[AccuracyTotals]) -> Accuracy:
    results, bins = Counter[EtaResult](), Counter[int]()
    for total in totals:
        results[total.result] += total.jobs
        bins[total.bin] += total.jobs
    jobs = results.total()
    return Accuracy(
        jobs=jobs,
        within_p50=round(results[EtaResult.EARLY] / jobs, 3),
        within_p90=round(1 - results[EtaResult.MISSED] / jobs, 3),
        ratio_p50=_compute_ratio_percentile(bins, 0.5),
        ratio_p90=_compute_ratio_percentile(bins, 0.9),
    )


def _compute_ratio_percentile(bins: Mapping[int, int], share: float) -> float:
    return round(compute_percentile(bins, share) or 0.0, 2)
