"""Node expansion: which nodes of a graph expand when they run, and which node displays each expanded one."""

from collections.abc import Mapping
from typing import Any

MAX_NODES = 20_000  # expanded nodes; a loop of a hundred rounds makes thousands
MAX_NODE_ID = 1_024  # characters


class Expansion:
    """Learns from the events of one prompt which nodes expanded, and into which.

    Attributes:
        display_nodes: id of the graph node that displays an expanded node, by the id of the expanded node.
        classes: classes of the nodes that expanded.
    """

    def __init__(self, graph: Mapping[str, Any]) -> None:
        self._graph = graph
        self.display_nodes: dict[str, str] = {}
        self.classes: set[str] = set()

    def apply_event(self, kind: str, data: Mapping[str, Any]) -> None:
        """Process one event of the prompt. Irrelevant and malformed events are ignored."""
        if kind in {"executing", "executed"}:
            self._record_expanded(data.get("node"), data.get("display_node"))
        elif kind == "progress_state":
            states = data.get("nodes")
            for node_id, state in states.items() if isinstance(states, Mapping) else ():
                if isinstance(state, Mapping):
                    self._record_expanded(node_id, state.get("display_node_id"))

    def add_display_nodes(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Return a history entry whose ``meta`` has the display node of each node, as the events reported it.

        ComfyUI copies the ``meta`` of a cached output from the earlier prompt, where ids may differ.
        """
        meta = entry.get("meta")
        known = {node_id: {"display_node": shown} for node_id, shown in self.display_nodes.items()}
        return {**entry, "meta": {**(meta if isinstance(meta, Mapping) else {}), **known}}

    def _record_expanded(self, node_id: Any, shown: Any) -> None:
        if not isinstance(node_id, str) or node_id in self._graph or len(node_id) > MAX_NODE_ID:
            return
        if node_id in self.display_nodes or len(self.display_nodes) >= MAX_NODES:
            return
        root = find_root_node(node_id, self._graph)
        if root is not None:
            self.classes.add(str(self._graph[root]["class_type"]))
        owner = shown if isinstance(shown, str) and shown in self._graph else root
        if owner is not None:
            self.display_nodes[node_id] = owner


def find_root_node(node_id: str, graph: Mapping[str, Any]) -> str | None:
    """Return the graph node that expanded into this one, by its id ``<node>.<call>.<graph>.<n>``.

    Returns None if no node expanded into it.
    """
    name = node_id[:MAX_NODE_ID]
    while name and name not in graph:
        name = name.rpartition(".")[0]
    return name or None
