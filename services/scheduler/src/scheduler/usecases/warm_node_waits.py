"""Decides which jobs a node defers to busy nodes that have loaded their models (decision record 0066)."""

from collections.abc import Callable, Iterable, Set
from time import monotonic

from scheduler.domain.placement import MAX_WAIT_IN_LOADS, may_defer_to_warm_node
from scheduler.domain.run_times import JobKind
from scheduler.usecases.fleet_state import FleetState
from scheduler.usecases.loaded_models import LoadedModels
from scheduler.usecases.run_time_history import RunTimeHistory

MAX_DEFERRED_REQUIREMENTS = 64  # per claim
LOAD_FRESH_S = 5.0  # for how long a predicted time to load is cached
MIN_WAIT_S = 0.1  # before a node is woken again for jobs that were deferred to busy nodes


class WarmNodeWaits:
    """Remembers since when jobs are deferred to busy nodes that have loaded their models. Harmless to lose on restart.

    Args:
        bound_s: maximum time for which a job is deferred to busy nodes.
        clock: seconds.
    """

    def __init__(
        self,
        fleet: FleetState,
        loaded: LoadedModels,
        history: RunTimeHistory,
        *,
        bound_s: float,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._fleet, self._loaded, self._history, self._bound_s = fleet, loaded, history, bound_s
        self._clock = clock
        self._deferred_since: dict[int, float] = {}  # by requirement
        self._load_times: dict[int, float] = {}  # by requirement
        self._load_times_fresh_until = 0.0

    def list_deferred_requirements(self, requirements: Iterable[int], node: str) -> dict[int, float]:
        """List the requirements whose jobs the node defers to busy nodes, with the seconds after which to look again.

        Args:
            node: name of the node; empty for any node that has not loaded the models.
        """
        if self._bound_s <= 0:
            return {}
        own, elsewhere = self._loaded.get_loaded_models(node), self._loaded.list_models_elsewhere(node)
        if not elsewhere:
            return {}
        deferred: dict[int, float] = {}
        for requirement in requirements:
            models = self._fleet.get_models(requirement)
            if models and not models <= own and models <= elsewhere:
                wait_s = self._compute_wait(requirement, models)
                if wait_s is not None:
                    deferred[requirement] = wait_s
                if len(deferred) >= MAX_DEFERRED_REQUIREMENTS:
                    break
        return deferred

    def record_claim(self, requirement: int, *, loads_models: bool) -> None:
        """Record that a node got a job. If it loads the models, one more node will soon have them."""
        if loads_models:
            self._deferred_since.pop(requirement, None)

    def forget_unqueued_requirements(self, waiting: Set[int]) -> None:
        """Forget the requirements that no queued job has any more."""
        for requirement in self._deferred_since.keys() - waiting:
            del self._deferred_since[requirement]

    def predict_run_time(self, requirement: int, *, loads_models: bool) -> float:
        """Predict how long a job with this requirement runs; 0 without any history."""
        found = self._history.run_times.predict_run_time(self._build_job_kind(requirement), loads_models=loads_models)
        return found.p50_s if found else 0.0

    def predict_load_time(self, requirement: int) -> float:
        """Predict how long a node loads the models of jobs with this requirement; 0 if unknown.

        Limited so that no job waits longer than ``bound_s``.
        """
        if self._clock() >= self._load_times_fresh_until:
            self._load_times, self._load_times_fresh_until = {}, self._clock() + LOAD_FRESH_S
        if requirement not in self._load_times:
            load_s = self._history.run_times.predict_load_time(self._build_job_kind(requirement)) or 0.0
            self._load_times[requirement] = min(load_s, self._bound_s / MAX_WAIT_IN_LOADS)
        return self._load_times[requirement]

    def _compute_wait(self, requirement: int, models: Set[str]) -> float | None:
        """Return after how many seconds to look again; None if the jobs should not be deferred."""
        load_s = self.predict_load_time(requirement)
        free_in_s = self._loaded.predict_free_in_s(models) if load_s else None
        if free_in_s is None:
            return None
        now = self._clock()
        deferred_s = now - self._deferred_since.get(requirement, now)
        if not may_defer_to_warm_node(deferred_s=deferred_s, free_in_s=free_in_s, load_s=load_s):
            return None
        self._deferred_since.setdefault(requirement, now)
        return max(MIN_WAIT_S, min(free_in_s + MIN_WAIT_S, MAX_WAIT_IN_LOADS * load_s - deferred_s))

    def _build_job_kind(self, requirement: int) -> JobKind:
        return JobKind(requirement, None, self._fleet.nodes_by_gpu)
