"""Remembers which models each node has loaded."""

from collections import Counter
from collections.abc import Callable, Collection
from time import monotonic
from typing import NamedTuple

SETTLED_S = 5.0  # a heartbeat that was sent before a claim arrives within this time


class _ModelReport(NamedTuple):
    models: frozenset[str]
    at: float
    claimed_at: float


class LoadedModels:
    """The models (``Class.input=file``) that each node has loaded, or will have when it starts its newest job.

    Only a hint: it knows what requests, claims and heartbeats in this process said, and other schedulers know more.

    Args:
        forgotten_s: a node that was not heard of for so long is left out.
        clock: seconds.
    """

    def __init__(self, *, forgotten_s: float, clock: Callable[[], float] = monotonic) -> None:
        self._forgotten_s, self._clock = forgotten_s, clock
        self._reports: dict[str, _ModelReport] = {}  # longest silent first
        self._nodes: Counter[str] = Counter()  # number of nodes that have loaded a model

    def record_claim(self, node: str, models: Collection[str]) -> None:
        """Record the models of a job that the node got, or those that it had loaded when it requested work."""
        now = self._clock()
        self._replace_report(node, _ModelReport(frozenset(models), now, claimed_at=now))

    def record_heartbeat(self, node: str, models: Collection[str]) -> None:
        """Record the models of a heartbeat. Just after a claim, only that the node is alive."""
        now, earlier = self._clock(), self._reports.get(node)
        if earlier is not None and now < earlier.claimed_at + SETTLED_S:
            self._replace_report(node, earlier._replace(at=now))
        else:
            self._replace_report(node, _ModelReport(frozenset(models), now, claimed_at=float("-inf")))

    def get_loaded_models(self, node: str) -> frozenset[str]:
        report = self._reports.get(node)
        return report.models if report else frozenset()

    def list_models_elsewhere(self, node: str) -> frozenset[str]:
        """Return the models that other nodes have loaded."""
        self._forget_silent_nodes()
        own = self.get_loaded_models(node)
        return frozenset(model for model, nodes in self._nodes.items() if nodes > (model in own))

    def _replace_report(self, node: str, report: _ModelReport) -> None:
        self._remove_report(node)
        self._reports[node] = report
        self._nodes.update(report.models)

    def _remove_report(self, node: str) -> None:
        report = self._reports.pop(node, None)
        for model in report.models if report else ():
            self._nodes[model] -= 1
            if not self._nodes[model]:
                del self._nodes[model]

    def _forget_silent_nodes(self) -> None:
        until = self._clock() - self._forgotten_s
        while self._reports and next(iter(self._reports.values())).at < until:
            self._remove_report(next(iter(self._reports)))
