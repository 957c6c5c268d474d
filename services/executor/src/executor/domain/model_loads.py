"""Detects from a prompt's events when the node loads a model."""

from collections.abc import Mapping
from typing import Any

from contracts.workflow import is_model_file_name


class ModelLoads:
    """Detects when the graph nodes of one prompt that name a model file are executed.

    ComfyUI executes such a node to load its file, and skips it if the outputs of an earlier prompt can be used.
    """

    def __init__(self, graph: Mapping[str, Any]) -> None:
        self._loaders = {
            node_id
            for node_id, node in graph.items()
            if any(is_model_file_name(value) for value in node["inputs"].values())
        }

    def apply_event(self, kind: str, data: Mapping[str, Any]) -> bool:
        """Process an event of the prompt. Returns whether it shows that a model load began; each loader counts once."""
        node = data.get("node")
        if kind != "executing" or not isinstance(node, str) or node not in self._loaders:
            return False
        self._loaders.remove(node)
        return True
