"""Decides which jobs a node leaves to busy nodes that have loaded their models (decision record 0066)."""

from collections.abc import Callable, Iterable, Set
from time import monotonic

from scheduler.domain.placement import WORTH_WAITING, may_leave_to_warm_node
from scheduler.domain.run_times import JobKind
from scheduler.usecases.fleet_state import FleetState
from scheduler.usecases.loaded_models import LoadedModels
from scheduler.usecases.run_time_history import RunTimeHistory

MAX_LEFT = 64  # requirements that a claim looks at
LOAD_FRESH_S = 5.0  # for how long a predicted time to load is cached
MIN_WAIT_S = 0.1  # before a node is woken again for jobs that were left


class WarmNodeWaits:
    """Knows since when jobs are left to nodes that have loaded their models. Lost with the process, without harm.

    Args:
        bound_s: no job is left for longer.
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
        self._left_since: dict[int, float] = {}  # by requirement
        self._load_s: dict[int, float] = {}  # by requirement
        self._load_until = 0.0

    def list_left(self, requirements: Iterable[int], node: str) -> dict[int, float]:
        """List the requirements whose jobs the node leaves, with the seconds after which to look again.

        Args:
            node: empty: any node that has not loaded their models.
        """
        if self._bound_s <= 0:
            return {}
        own, elsewhere = self._loaded.get_loaded_models(node), self._loaded.list_models_elsewhere(node)
        if not elsewhere:
            return {}
        left: dict[int, float] = {}
        for requirement in requirements:
            models = self._fleet.get_models(requirement)
            if models and not models <= own and models <= elsewhere:
                wait_s = self._measure_wait(requirement, models)
                if wait_s is not None:
                    left[requirement] = wait_s
                if len(left) >= MAX_LEFT:
                    break
        return left

    def record_claim(self, requirement: int, *, loads_models: bool) -> None:
        """Record that a node got a job. If it loads the models, one more node will soon have them."""
        if loads_models:
            self._left_since.pop(requirement, None)

    def forget_others(self, waiting: Set[int]) -> None:
        """Forget the requirements that no queued job has any more."""
        for requirement in [one for one in self._left_since if one not in waiting]:
            del self._left_since[requirement]

    def predict_run(self, requirement: int, *, loads_models: bool) -> float:
        """Predict how long a job with this requirement runs; 0 without any history."""
        found = self._history.run_times.predict_run_time(self._describe(requirement), loads_models=loads_models)
        return found.p50_s if found else 0.0

    def predict_load(self, requirement: int) -> float:
        """Predict how long a node loads the models of jobs with this requirement; 0 if unknown.

        No more than what makes jobs wait for ``bound_s``.
        """
        if self._clock() >= self._load_until:
            self._load_s, self._load_until = {}, self._clock() + LOAD_FRESH_S
        if requirement not in self._load_s:
            load_s = self._history.run_times.predict_load(self._describe(requirement)) or 0.0
            self._load_s[requirement] = min(load_s, self._bound_s / WORTH_WAITING)
        return self._load_s[requirement]

    def _measure_wait(self, requirement: int, models: Set[str]) -> float | None:
        """Return after how many seconds to look again; None if the jobs should not be left."""
        load_s = self.predict_load(requirement)
        free_in_s = self._loaded.predict_free_in(models) if load_s else None
        if free_in_s is None:
            return None
        now = self._clock()
        left_s = now - self._left_since.get(requirement, now)
        if not may_leave_to_warm_node(left_s=left_s, free_in_s=free_in_s, load_s=load_s):
            return None
        self._left_since.setdefault(requirement, now)
        return max(MIN_WAIT_S, min(free_in_s + MIN_WAIT_S, WORTH_WAITING * load_s - left_s))

    def _describe(self, requirement: int) -> JobKind:
        return JobKind(requirement, None, self._fleet.node_classes)
