"""Results of the latest prompt, keyed by computation instead of node id (ComfyUI's classic cache)."""

import json
from dataclasses import dataclass
from typing import Any, TypeAlias

from simnode.wire import Document, Workflow

Key: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class CachedResult:
    """A node's cached result.

    Attributes:
        outputs: output values for other nodes.
        ui: message for clients.
        meta: ids of the node, its parent and its display node.
    """

    outputs: tuple[Any, ...]
    ui: Document | None
    meta: Document


class NodeCache:
    """Cache entries of the latest prompt. A result can refer to files that have been deleted since."""

    def __init__(self) -> None:
        self._entries: dict[Key, CachedResult] = {}
        self._keys: dict[str, Key] = {}

    def start_prompt(self, graph: Workflow) -> None:
        """Compute the keys of all nodes, reachable or not, and drop entries that this prompt does not use.

        Raises:
            KeyError: a node without ``inputs``; ComfyUI's worker does not catch it either.
        """
        self._keys = {node_id: _build_node_key(graph, node_id) for node_id in graph}
        current = set(self._keys.values())
        parents = {_build_parent_key(graph, node_id) for node_id in graph}
        self._entries = {key: entry for key, entry in self._entries.items() if key in current or key[:3] in parents}

    def add_expanded_nodes(self, graph: Workflow, parent: str, children: list[str]) -> None:
        """Add the nodes that a node expanded into. Their keys contain that node's id and class, but not its inputs."""
        self._keys |= {child: _build_parent_key(graph, parent) + _build_node_key(graph, child) for child in children}

    def get(self, node_id: str) -> CachedResult | None:
        """Return the cached result of a node of this prompt; None if it must run."""
        return self._entries.get(self._keys[node_id])

    def store(self, node_id: str, entry: CachedResult) -> None:
        self._entries[self._keys[node_id]] = entry

    def list_cached_nodes(self) -> list[str]:
        """Return ids of this prompt's nodes that have a cached result."""
        return [node_id for node_id, key in self._keys.items() if key in self._entries]

    def clear(self) -> None:
        self._entries.clear()


def _build_parent_key(graph: Workflow, parent: str) -> Key:
    return ("under", parent, graph[parent]["class_type"])


def _build_node_key(graph: Workflow, node_id: str) -> Key:
    order = _find_ancestors(graph, node_id)
    places = {known: index for index, known in enumerate(order)}
    return tuple(_build_node_signature(graph, known, places) for known in order)


def _find_ancestors(graph: Workflow, node_id: str) -> list[str]:
    order: dict[str, None] = {}
    stack = [node_id]
    while stack:
        current = stack.pop()
        if current in order:
            continue
        order[current] = None
        if current in graph:
            inputs = graph[current]["inputs"]
            stack.extend(inputs[name][0] for name in sorted(inputs, reverse=True) if _is_link(inputs[name]))
    return list(order)


def _build_node_signature(graph: Workflow, node_id: str, places: dict[str, int]) -> Key:
    if node_id not in graph:
        return (object(),)
    node = graph[node_id]
    changed = json.dumps(node.get("is_changed"))
    inputs = node["inputs"]
    return (
        node["class_type"],
        changed,
        *((name, _build_input_signature(inputs[name], places)) for name in sorted(inputs)),
    )


def _build_input_signature(value: Any, places: dict[str, int]) -> Any:
    if _is_link(value):
        return ("link", places[value[0]], value[1])
    return json.dumps(value, sort_keys=True)


def _is_link(value: Any) -> bool:
    return (
        isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], int | float)
    )
