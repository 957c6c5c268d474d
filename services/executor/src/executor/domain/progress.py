"""Computes a job's progress from the node's events."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from contracts.executor.progress import Progress
from contracts.scheduler.attempts import AttemptRef

MAX_RUNNING_PERCENT = 99.0  # 100 means success
MAX_NODE_ID = 1_024  # characters of an id; expanded nodes have longer ids
MIN_ELAPSED_S = 1.0  # an earlier estimate is useless
MAX_ETA_S = 30 * 86_400.0  # a longer estimate is useless and may be infinite


class ProgressTracker:
    """Tracks the progress of one prompt. Late, duplicate or missing events are harmless.

    A graph node counts as finished when ComfyUI reports it as finished or cached, or when another graph node starts.
    The running one counts in proportion to its completed steps. The percentage never decreases.
    """

    def __init__(self, graph: Mapping[str, Any]) -> None:
        self._classes = {node_id: str(node.get("class_type", "")) for node_id, node in graph.items()}
        self._finished: set[str] = set()
        self._current: str | None = None
        self._value = self._max = 0.0
        self._percent = 0.0

    @property
    def percent(self) -> float:
        """Progress, 0 to ``MAX_RUNNING_PERCENT`` percent."""
        return self._percent

    def apply_event(self, kind: str, data: Mapping[str, Any]) -> bool:
        """Process one event of this prompt. Returns whether it concerns the progress."""
        match kind:
            case "execution_cached":
                self._apply_cached(data.get("nodes"))
            case "executing":
                self._apply_executing(data.get("display_node") or data.get("node"))
            case "progress":
                self._apply_step(data.get("node"), data.get("value"), data.get("max"))
            case "progress_state":
                self._apply_states(data.get("nodes"))
            case _:
                return False
        part = min(self._value / self._max, 1.0) if self._max > 0 else 0.0
        whole = (len(self._finished) + part) / max(len(self._classes), 1)
        self._percent = max(self._percent, min(100 * whole, MAX_RUNNING_PERCENT))
        return True

    def build_message(self, ref: AttemptRef, *, at: datetime, elapsed_s: float, succeeded: bool = False) -> Progress:
        """Return the progress message.

        Args:
            elapsed_s: seconds since the node accepted the prompt.
            succeeded: whether the attempt succeeded; only then the percentage is 100.
        """
        percent = 100.0 if succeeded else self._percent
        return Progress(
            job_id=ref.job_id,
            attempt=ref.attempt,
            progress=percent,
            value=self._value,
            max=self._max,
            node=None if succeeded else self._current,
            node_class=self._classes.get(self._current) if self._current and not succeeded else None,
            nodes_done=len(self._classes) if succeeded else len(self._finished),
            nodes_total=len(self._classes),
            eta_seconds=_estimate_remaining_s(percent, elapsed_s),
            at=at,
        )

    def _apply_cached(self, nodes: Any) -> None:
        if isinstance(nodes, list):
            self._finished.update(node for node in nodes if isinstance(node, str) and node in self._classes)

    def _apply_executing(self, node: Any) -> None:
        shown = self._find_graph_node(node)
        if shown is None or shown == self._current:
            return
        if self._current is not None:
            self._finished.add(self._current)
        self._set_current_node(shown)

    def _set_current_node(self, node: str) -> None:
        self._current, self._value, self._max = node, 0.0, 0.0

    def _apply_step(self, node: Any, value: Any, maximum: Any) -> None:
        shown = self._find_graph_node(node)
        if shown is None or not _is_number(value) or not _is_number(maximum):
            return
        if shown != self._current:
            if shown in self._finished:
                return  # late event of a finished node
            self._apply_executing(shown)
        self._value, self._max = max(float(value), 0.0), max(float(maximum), 0.0)

    def _apply_states(self, nodes: Any) -> None:
        for node, state in nodes.items() if isinstance(nodes, Mapping) else ():
            # Expanded parts end before their parent node does.
            if isinstance(state, Mapping) and state.get("state") == "finished" and node in self._classes:
                self._finished.add(node)
                if node == self._current:
                    self._value = self._max = 0.0

    def _find_graph_node(self, node: Any) -> str | None:
        """Return the graph node that an event concerns; expanded nodes are called ``<node>.<call>.<graph>.<n>``."""
        name = node if isinstance(node, str) and len(node) <= MAX_NODE_ID else ""
        while name and name not in self._classes:
            name = name.rpartition(".")[0]
        return name or None


def _estimate_remaining_s(percent: float, elapsed_s: float) -> float | None:
    if percent >= 100:
        return 0.0
    if percent <= 0 or elapsed_s < MIN_ELAPSED_S:
        return None
    remaining_s = elapsed_s * (100 - percent) / percent
    return round(remaining_s, 1) if remaining_s < MAX_ETA_S else None


def _is_number(value: Any) -> bool:
    # Python's json parses NaN and infinities; messages must not carry them.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15
