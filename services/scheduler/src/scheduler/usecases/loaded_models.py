"""Remembers which models each node has loaded."""

from collections.abc import Callable, Collection, Iterable, Set
from itertools import islice
from time import monotonic
from typing import NamedTuple

from scheduler.domain.placement import ModelDemand

HEARTBEAT_DELAY_S = 5.0  # a heartbeat that was sent before a claim may arrive this much later
MAX_LATE_S = 10.0  # a node that should have been free this long ago is not waited for
MAX_COMPARED = 50  # nodes that have loaded the same model


class _ModelReport(NamedTuple):
    """What is known of a node.

    Attributes:
        free_at: when its jobs are expected to have ended; None if this process knows none of its claims.
    """

    models: frozenset[str]
    at: float
    claimed_at: float
    free_at: float | None


class LoadedModels:
    """The models (``Class.input=file``) that each node has loaded, or will have when it starts its newest job.

    Only a hint: it is based on the requests, claims and heartbeats that this process received, not on those of other
    schedulers.

    Args:
        forget_after_s: a node from which nothing was received for this long is left out.
        clock: seconds.
    """

    def __init__(self, *, forget_after_s: float, clock: Callable[[], float] = monotonic) -> None:
        self._forget_after_s, self._clock = forget_after_s, clock
        self._reports: dict[str, _ModelReport] = {}  # by node, longest silent first
        self._nodes_by_model: dict[str, set[str]] = {}
        self._demand = ModelDemand()

    def record_request(self, node: str, models: Collection[str], *, is_busy: bool) -> None:
        """Record the models that a node had loaded when it requested work.

        Args:
            is_busy: whether the node still runs a job and requests another one to prefetch.
        """
        now, earlier = self._clock(), self._reports.get(node)
        free_at = (earlier.free_at if earlier else None) if is_busy else now
        self._replace_report(node, _ModelReport(frozenset(models), now, claimed_at=now, free_at=free_at))

    def record_claim(
        self, node: str, models: Collection[str], *, run_s: float = 0.0, is_prefetch: bool = False
    ) -> None:
        """Record the models of a job that the node got.

        Args:
            run_s: how long the job is expected to run.
            is_prefetch: whether the job runs after one that the node has already.
        """
        now, earlier = self._clock(), self._reports.get(node)
        self._demand.record_job(models)
        begin = max(now, earlier.free_at or now) if is_prefetch and earlier else now
        self._replace_report(node, _ModelReport(frozenset(models), now, claimed_at=now, free_at=begin + run_s))

    def record_heartbeat(self, node: str, models: Collection[str]) -> None:
        """Record the models of a heartbeat. Just after a claim they are ignored, because the heartbeat may be older."""
        now, earlier = self._clock(), self._reports.get(node)
        if earlier is not None and now < earlier.claimed_at + HEARTBEAT_DELAY_S:
            self._replace_report(node, earlier._replace(at=now))
        else:
            free_at = earlier.free_at if earlier else None
            self._replace_report(node, _ModelReport(frozenset(models), now, claimed_at=float("-inf"), free_at=free_at))

    def get_loaded_models(self, node: str) -> frozenset[str]:
        report = self._reports.get(node)
        return report.models if report else frozenset()

    def list_models_elsewhere(self, node: str) -> frozenset[str]:
        """Return the models that other nodes have loaded."""
        self._forget_silent_nodes()
        own = self.get_loaded_models(node)
        return frozenset(model for model, nodes in self._nodes_by_model.items() if len(nodes) > (model in own))

    def compute_unload_cost(self, models: Iterable[str]) -> float:
        """Compute how costly it would be for the fleet if a node unloaded these models; 0 for no models."""
        return max(
            (
                self._demand.compute_demand_per_node(model, nodes=len(self._nodes_by_model.get(model, ())))
                for model in models
            ),
            default=0.0,
        )

    def predict_free_in_s(self, models: Set[str]) -> float | None:
        """Predict in how many seconds a node that has loaded all these models is free; None if no node has."""
        now = self._clock()
        nodes = min((self._nodes_by_model.get(model, set[str]()) for model in models), key=len, default=set[str]())
        reports = [self._reports[node] for node in islice(nodes, MAX_COMPARED)]
        return min(
            (
                max(report.free_at - now, 0.0)
                for report in reports
                if models <= report.models and report.free_at is not None and now < report.free_at + MAX_LATE_S
            ),
            default=None,
        )

    def _replace_report(self, node: str, report: _ModelReport) -> None:
        self._remove_report(node)
        self._reports[node] = report
        for model in report.models:
            self._nodes_by_model.setdefault(model, set()).add(node)

    def _remove_report(self, node: str) -> None:
        report = self._reports.pop(node, None)
        for model in report.models if report else ():
            self._nodes_by_model[model].discard(node)
            if not self._nodes_by_model[model]:
                del self._nodes_by_model[model]

    def _forget_silent_nodes(self) -> None:
        until = self._clock() - self._forget_after_s
        while self._reports and next(iter(self._reports.values())).at < until:
            self._remove_report(next(iter(self._reports)))
