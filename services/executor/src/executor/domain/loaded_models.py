"""Lists the models that a node has loaded after a prompt."""

from collections.abc import Mapping
from typing import Any

from contracts.workflow import is_model_file_name

MAX_MODELS = 100  # reported model files; a graph has a handful
MAX_NAME_LENGTH = 300  # characters of a name


def list_graph_models(graph: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the model files that a graph loads, as ``Class.input=file``, sorted, without duplicates."""
    models = {
        f"{node['class_type']}.{name}={value}"
        for node in graph.values()
        for name, value in node["inputs"].items()
        if is_model_file_name(value)
    }
    return tuple(sorted(model for model in models if len(model) <= MAX_NAME_LENGTH)[:MAX_MODELS])
