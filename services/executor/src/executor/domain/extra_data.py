"""What a node gets beside the inputs of a graph."""

from typing import Any

from contracts.workflow import Graph
from executor.domain.catalog import NodeClasses

PNG_INFO = "extra_pnginfo"


def extra_data_for(graph: Graph, sent: dict[str, Any] | None, classes: NodeClasses) -> dict[str, Any] | None:
    """What of a job's ``extra_data`` the node may get; None where that is nothing.

    A node keeps results by their inputs, of which ``extra_pnginfo`` is none. Where a class of the graph could put it
    into a result that is kept, the next tenant with the same inputs would get it: then it stays here.
    """
    if not sent or PNG_INFO not in sent:
        return sent or None
    if any(node.class_type in classes.keeps_png_info for node in graph.values()):
        return {name: value for name, value in sent.items() if name != PNG_INFO} or None
    return sent
