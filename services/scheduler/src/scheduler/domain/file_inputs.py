"""Checks file names and upload ids in inputs that the graph policy does not cover."""

from collections.abc import Iterator
from typing import Any

from contracts.catalog import InputSpec
from contracts.wire.show_values import format_value
from contracts.workflow import Graph
from scheduler.domain.catalog import Catalog
from scheduler.domain.validation.declared_inputs import resolve_inputs
from scheduler.domain.validation.findings import Finding, GraphFault


def check_file_inputs(graph: Graph, catalog: Catalog, uploads: frozenset[str]) -> Iterator[Finding]:
    """Find inputs that name a file other than an upload, and uploads in inputs that take no file.

    An input that takes a file accepts only an id of ``uploads``: no name, no path, no link. So a graph cannot read
    files of other jobs on the node. Inputs that the graph policy covers are checked there; this covers those that only
    the catalog declares as file inputs.

    Args:
        graph: the graph as a node of this catalog accepts it.
        catalog: the catalog of the node.
        uploads: ids of the uploads that the job may use.
    """
    for node_id, node in graph.items():
        declared = resolve_inputs(catalog.get_class_facts(node.class_type), node.inputs)
        for name, value in node.inputs.items():
            if catalog.rules.decides_allowed_values(node.class_type, name):
                continue
            accepted = declared[name][0] if name in declared else None
            if (fault := _find_file_fault(f"{node.class_type}.{name}", accepted, value, uploads)) is not None:
                yield Finding(fault, node_id, name)


def _find_file_fault(label: str, accepted: InputSpec | None, value: Any, uploads: frozenset[str]) -> GraphFault | None:
    is_upload = isinstance(value, str) and value in uploads
    if accepted is None or not accepted.upload:
        if not is_upload or accepted is None:
            return None
        message = f"{label} takes no file. Give the id of an upload to a loader node, such as LoadImage."
        return GraphFault("upload_misplaced", message)
    if is_upload or (value == "" and accepted.default == ""):
        return None
    message = (
        f"{label} is {format_value(value)}, which is not the id of an upload of yours. Upload the file (POST "
        "/api/v1/upload) "
        'and write the id it returns, or "output:<id of the output>" to use a file that one of your jobs made.'
    )
    return GraphFault("file_not_uploaded", message)
