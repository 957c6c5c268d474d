"""What a node has in its memory after a prompt."""

from collections.abc import Mapping
from typing import Any

from contracts.workflow import is_model

MOST = 100  # model files that are told; a graph has a handful
LONGEST = 300  # characters of one


def models_of(graph: Mapping[str, Any]) -> tuple[str, ...]:
    """The model files that a graph loads, as ``Class.input=file``, sorted, each once."""
    named = {
        f"{node['class_type']}.{name}={value}"
        for node in graph.values()
        for name, value in node["inputs"].items()
        if is_model(value)
    }
    return tuple(sorted(need for need in named if len(need) <= LONGEST)[:MOST])
