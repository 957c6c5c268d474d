"""Predicts how long a job runs on a node, from the run times of finished jobs. Pure: no I/O, no clock.

Run times are stored as histograms (``scheduler.domain.durations``) in three scopes. A prediction uses the first scope
that has run times: jobs with the same workflow fingerprint on nodes with the same GPU model; jobs with the same
requirement on such nodes; all jobs of the fleet. Runs for which the node had to load models are kept apart from others.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

from scheduler.domain.durations import compute_mean, compute_midpoint, compute_percentile, find_bin

WINDOW = 100  # each new run time reduces the weight of the earlier ones by 1 / WINDOW, so about this many count
NEGLIGIBLE_WEIGHT = 0.01  # a smaller weight is dropped

Bins = Mapping[int, float]
"""Decayed number of runs by histogram bin."""


class HistogramScope(StrEnum):
    WORKFLOW = "workflow"
    MODELS = "models"
    FLEET = "fleet"


class HistogramKey(NamedTuple):
    """Identifies a histogram.

    Attributes:
        id: the fingerprint of the workflow, or the id of the requirement; 0 for the fleet.
        gpu_model: model of the node's first GPU; empty if unknown, and for the fleet.
        loads_models: whether the node had to load models of the job.
    """

    scope: HistogramScope
    id: int
    gpu_model: str
    loads_models: bool


class SuccessfulRun(NamedTuple):
    """A run of a job that succeeded.

    Attributes:
        fingerprint: None if the job was accepted before fingerprints were computed.
        seconds: time on the node, loading of models included.
    """

    requirement_id: int
    fingerprint: int | None
    gpu_model: str
    loads_models: bool
    seconds: float

    def list_keys(self) -> tuple[HistogramKey, ...]:
        """Return the keys of the histograms that this run belongs to."""
        keys = (
            HistogramKey(HistogramScope.MODELS, self.requirement_id, self.gpu_model, self.loads_models),
            HistogramKey(HistogramScope.FLEET, 0, "", self.loads_models),
        )
        if self.fingerprint is None:
            return keys
        return (HistogramKey(HistogramScope.WORKFLOW, self.fingerprint, self.gpu_model, self.loads_models), *keys)


class JobKind(NamedTuple):
    """What is known of a job before it runs.

    Attributes:
        nodes_by_gpu: number of nodes that could run it, by GPU model.
    """

    requirement_id: int
    fingerprint: int | None
    nodes_by_gpu: Mapping[str, int]


class RunTime(NamedTuple):
    """A predicted run time in seconds: the median, and what 90 % of such runs do not exceed."""

    p50_s: float
    p90_s: float


def add_run(bins: Bins, seconds: float) -> dict[int, float]:
    """Return a histogram with one more run time, in which the earlier ones count a little less."""
    kept = 1 - 1 / WINDOW
    added = {number: weight * kept for number, weight in bins.items() if weight * kept >= NEGLIGIBLE_WEIGHT}
    number = find_bin(seconds)
    added[number] = added.get(number, 0.0) + 1.0
    return added


class RunTimes:
    """The histograms of all keys."""

    def __init__(self) -> None:
        self._histograms: dict[tuple[HistogramScope, int], dict[tuple[str, bool], Bins]] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def replace_histogram(self, key: HistogramKey, bins: Bins) -> None:
        """Replace the histogram of a key, or add it."""
        histograms = self._histograms.setdefault((key.scope, key.id), {})
        self._size += (key.gpu_model, key.loads_models) not in histograms
        histograms[key.gpu_model, key.loads_models] = bins

    def predict_run_time(self, kind: JobKind, *, loads_models: bool) -> RunTime | None:
        """Predict the run time of a job on one of the nodes that could run it; None if there is no history.

        Args:
            loads_models: whether the node has to load models of the job.
        """
        for scope, key_id in _list_scopes(kind):
            bins = self._merge_histograms(scope, key_id, kind, loads_models=loads_models)
            if bins:
                return _compute_percentiles(bins, 0.0)
            bins = self._merge_histograms(scope, key_id, kind, loads_models=not loads_models)
            if bins:
                load_s = self._predict_any_load_time(kind)
                return _compute_percentiles(bins, load_s if loads_models else -load_s)
        return None

    def predict_mean_run_time(self, kind: JobKind) -> float | None:
        """Predict the mean run time of jobs with the same requirement, on any of the nodes that could run them.

        None if there is no history.
        """
        for scope, key_id in ((HistogramScope.MODELS, kind.requirement_id), (HistogramScope.FLEET, 0)):
            merged = _sum_histograms(
                (self._merge_histograms(scope, key_id, kind, loads_models=loads_models), 1.0)
                for loads_models in (False, True)
            )
            if merged:
                return compute_mean(merged)
        return None

    def predict_remaining_time(self, kind: JobKind, *, elapsed_s: float) -> RunTime | None:
        """Predict the remaining run time of a job that has run for ``elapsed_s`` seconds.

        It considers only earlier runs that took longer, and returns None if there are none.
        """
        for scope, key_id in _list_scopes(kind):
            merged = _sum_histograms(
                (self._merge_histograms(scope, key_id, kind, loads_models=loads_models), 1.0)
                for loads_models in (False, True)
            )
            if not merged:
                continue
            longer = {number: weight for number, weight in merged.items() if compute_midpoint(number) > elapsed_s}
            return _compute_percentiles(longer, -elapsed_s) if longer else None
        return None

    def predict_load_time(self, kind: JobKind) -> float | None:
        """Predict how long a node loads the models of a job; None if no run with the same requirement did."""
        return self._measure_load_time(HistogramScope.MODELS, kind.requirement_id, kind)

    def _predict_any_load_time(self, kind: JobKind) -> float:
        """Predict how long a node loads the models of a job, if necessary from other jobs; 0 without any history."""
        own_s = self.predict_load_time(kind)
        return own_s if own_s is not None else self._measure_load_time(HistogramScope.FLEET, 0, kind) or 0.0

    def _measure_load_time(self, scope: HistogramScope, key_id: int, kind: JobKind) -> float | None:
        """Return how long loading the models takes, in seconds; None if unknown.

        It is the median run time of jobs that loaded them minus that of jobs that did not, 0 at least.
        """
        warm = compute_percentile(self._merge_histograms(scope, key_id, kind, loads_models=False), 0.5)
        loading = compute_percentile(self._merge_histograms(scope, key_id, kind, loads_models=True), 0.5)
        return None if warm is None or loading is None else max(loading - warm, 0.0)

    def _merge_histograms(self, scope: HistogramScope, key_id: int, kind: JobKind, *, loads_models: bool) -> Bins:
        """Merge the histograms of the nodes that could run the job: those of each GPU model, by its number of nodes."""
        found = self._histograms.get((scope, key_id))
        if not found:
            return {}
        nodes_by_gpu: Mapping[str, int] = {"": 1} if scope is HistogramScope.FLEET else kind.nodes_by_gpu
        matching = [(bins, nodes) for gpu, nodes in nodes_by_gpu.items() if (bins := found.get((gpu, loads_models)))]
        if len(matching) == 1:
            return matching[0][0]
        runs = [sum(bins.values()) for bins, _ in matching]
        factor = sum(runs) / max(sum(nodes for _, nodes in matching), 1)
        return _sum_histograms(
            (bins, factor * nodes / count) for (bins, nodes), count in zip(matching, runs, strict=True)
        )


def _list_scopes(kind: JobKind) -> list[tuple[HistogramScope, int]]:
    scopes = [(HistogramScope.MODELS, kind.requirement_id), (HistogramScope.FLEET, 0)]
    return scopes if kind.fingerprint is None else [(HistogramScope.WORKFLOW, kind.fingerprint), *scopes]


def _sum_histograms(parts: Iterable[tuple[Bins, float]]) -> dict[int, float]:
    total: dict[int, float] = {}
    for bins, factor in parts:
        for number, weight in bins.items():
            total[number] = total.get(number, 0.0) + weight * factor
    return total


def _compute_percentiles(bins: Bins, added_s: float) -> RunTime:
    """Return the percentiles of a histogram that is not empty, both longer by ``added_s`` and not below 0.

    Few runs say little about the 90th percentile, so it is at least the median times 1 + 1 / runs.
    """
    p50, p90 = compute_percentile(bins, 0.5) or 0.0, compute_percentile(bins, 0.9) or 0.0
    runs = max(sum(bins.values()), 1.0)
    p50_s, p90_s = max(p50 + added_s, 0.0), max(p90 + added_s, 0.0)
    return RunTime(p50_s, max(p90_s, p50_s * (1 + 1 / runs)))
