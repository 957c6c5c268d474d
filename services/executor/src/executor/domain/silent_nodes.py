"""Warns about output nodes that ran without any output."""

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any

from contracts.scheduler.jobs import JobWarning
from executor.domain.node_text import name_of

CODE = "job.node_without_outputs"
MAX_NAMED = 10  # nodes named by the warning


def warn_of_silent_nodes(
    graph: Mapping[str, Any], is_output_class: Callable[[str], bool], heard: Iterable[str]
) -> JobWarning | None:
    """Return the warning about output nodes without outputs; None if each has some.

    Args:
        heard: ids of the nodes with outputs.
    """
    left = frozenset(heard)
    silent = [
        f"{name_of(node_id)} ({name_of(node['class_type'])})"
        for node_id, node in graph.items()
        if name_of(node_id) not in left and is_output_class(node["class_type"])
    ]
    if not silent:
        return None
    more = f" and {len(silent) - MAX_NAMED} more" if len(silent) > MAX_NAMED else ""
    named = ", ".join(islice(silent, MAX_NAMED)) + more
    return JobWarning(code=CODE, message=f"These output nodes left nothing that could be stored: {named}.")
