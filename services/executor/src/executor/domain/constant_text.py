"""Evaluates texts of a graph that do not depend on a run."""

from collections.abc import Mapping
from typing import Any

MAX_TEXT = 4_096  # characters of a joined text
MAX_DEPTH = 20  # links followed

_PRIMITIVE_CLASSES = frozenset({"PrimitiveString", "PrimitiveStringMultiline", "PrimitiveInt", "PrimitiveFloat"})
_CONCATENATE_CLASS = "StringConcatenate"
_WRAPPER_KEY = "__value__"  # ComfyUI unwraps {"__value__": x} to x


class ConstantTexts:
    """The texts of a graph's inputs that do not depend on a run.

    Links to ComfyUI's primitive classes for texts and numbers, and to ``StringConcatenate``, are followed.
    """

    def __init__(self, graph: Mapping[str, Any]) -> None:
        self._graph = graph
        self._known: dict[str, str | None] = {}

    def evaluate(self, value: Any, depth: int = 0) -> str | None:
        """Return the text of an input; None if it depends on the run."""
        if isinstance(value, dict):
            value = value.get(_WRAPPER_KEY)
        match value:
            case str():
                return value
            case bool():
                return None
            case int() | float():
                return str(value)
            case [str(source), 0] if source in self._graph:
                return self._evaluate_node(source, depth + 1)
        return None

    def _evaluate_node(self, node_id: str, depth: int) -> str | None:
        if node_id not in self._known:
            self._known[node_id] = None  # while it is being evaluated, against cycles
            self._known[node_id] = self._evaluate_class(self._graph[node_id], depth) if depth <= MAX_DEPTH else None
        return self._known[node_id]

    def _evaluate_class(self, node: Mapping[str, Any], depth: int) -> str | None:
        class_type, inputs = node["class_type"], node["inputs"]
        if class_type in _PRIMITIVE_CLASSES:
            return _limit_length(self.evaluate(inputs.get("value"), depth))
        if class_type != _CONCATENATE_CLASS:
            return None
        parts = [self.evaluate(inputs.get(name), depth) for name in ("string_a", "string_b")]
        delimiter = self.evaluate(inputs.get("delimiter", ""), depth)
        known = [part for part in parts if part is not None]
        return None if delimiter is None or len(known) < len(parts) else _limit_length(delimiter.join(known))


def _limit_length(text: str | None) -> str | None:
    return text if text is not None and len(text) <= MAX_TEXT else None
