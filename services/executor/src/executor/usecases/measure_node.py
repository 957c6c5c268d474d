"""Metrics of a node: its idle time by reason, and the models that it loads."""

from collections.abc import Mapping
from time import monotonic
from typing import Any

from chassis.telemetry.metrics import Metrics
from contracts.metrics import MODEL_LOADS, NODE_IDLE_SECONDS
from executor.domain.idle_time import IdleReason, IdleTime
from executor.domain.model_loads import ModelLoads

FLUSH_S = 5.0  # interval at which the metric of an idle node is updated


class NodeMetrics:
    """The metrics of one node.

    Attributes:
        idle_time: records why the node is idle.
    """

    def __init__(self, metrics: Metrics, node: str) -> None:
        seconds = metrics.counter(NODE_IDLE_SECONDS)
        by_reason = {reason: seconds.labels(node, reason.value) for reason in IdleReason}
        self.idle_time = IdleTime(lambda reason, passed_s: by_reason[reason].inc(passed_s), monotonic)
        self._loads = metrics.counter(MODEL_LOADS).labels(node)

    async def flush(self) -> None:
        """Add the idle time since the last change. Called by ``chassis.loop.Loop``."""
        self.idle_time.flush()

    def count_model_load(self, loads: ModelLoads, kind: str, data: Mapping[str, Any]) -> None:
        """Count a model load if the event shows that one began."""
        if loads.apply_event(kind, data):
            self._loads.inc()
