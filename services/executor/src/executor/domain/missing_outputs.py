"""Warns about output nodes that ran without any output."""

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any

from contracts.scheduler.jobs import JobWarning
from executor.domain.node_text import clean_name

WARNING_CODE = "job.node_without_outputs"
MAX_NAMED = 10  # nodes named by the warning


def build_missing_outputs_warning(
    graph: Mapping[str, Any], is_output_class: Callable[[str], bool], nodes_with_outputs: Iterable[str]
) -> JobWarning | None:
    """Return the warning about output nodes without outputs; None if each has some.

    Args:
        nodes_with_outputs: ids of the nodes with outputs.
    """
    with_outputs = frozenset(nodes_with_outputs)
    without_outputs = [
        f"{clean_name(node_id)} ({clean_name(node['class_type'])})"
        for node_id, node in graph.items()
        if clean_name(node_id) not in with_outputs and is_output_class(node["class_type"])
    ]
    if not without_outputs:
        return None
    more = f" and {len(without_outputs) - MAX_NAMED} more" if len(without_outputs) > MAX_NAMED else ""
    named = ", ".join(islice(without_outputs, MAX_NAMED)) + more
    return JobWarning(code=WARNING_CODE, message=f"These output nodes produced no output: {named}.")
