"""Filters the ``extra_data`` that a node gets."""

from typing import Any

from contracts.workflow import Graph
from executor.domain.catalog import NodeClasses

PNG_INFO = "extra_pnginfo"


def filter_extra_data(graph: Graph, extra_data: dict[str, Any] | None, classes: NodeClasses) -> dict[str, Any] | None:
    """Return the part of a job's ``extra_data`` that the node may get; None if that is nothing.

    A node caches results by their inputs, which do not include ``extra_pnginfo``. If a class of the graph could embed
    it in a cached result, the next tenant with the same inputs would receive it, so it is removed.
    """
    if not extra_data or PNG_INFO not in extra_data:
        return extra_data or None
    if any(node.class_type in classes.keeping_png_info for node in graph.values()):
        return {name: value for name, value in extra_data.items() if name != PNG_INFO} or None
    return extra_data
