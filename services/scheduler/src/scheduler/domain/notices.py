"""Warnings about an accepted graph, where the node will not run exactly what was submitted."""

from collections.abc import Iterator
from itertools import islice

from contracts.wire.errors import FieldError
from contracts.wire.show_values import printable, show
from contracts.workflow import MAX_ERRORS, Graph, GraphNode
from scheduler.domain.catalog import Catalog
from scheduler.domain.fleet_check import RunnableGraph
from scheduler.domain.validation.declared_inputs import resolve_inputs, unwrap_value
from scheduler.domain.validation.field_errors import build_pointer
from scheduler.domain.validation.findings import Finding, GraphFault
from scheduler.domain.validation.suggestions import find_similar_names

MAX_SUGGESTED = 5  # ignored inputs for which a similar name is looked up


def list_notices(submitted: Graph, runnable: RunnableGraph) -> tuple[FieldError, ...]:
    """List up to ``MAX_ERRORS`` warnings: unused nodes, ignored inputs, converted values and seeds chosen at random.

    Args:
        submitted: the graph as it was submitted.
        runnable: the check result of the node that accepts it, and the node's catalog.
    """
    return tuple(
        FieldError(
            pointer=build_pointer(finding),
            code=finding.fault.code,
            message=finding.fault.message,
            node_id=finding.node_id,
            input=finding.input,
            allowed=finding.fault.allowed,
        )
        for finding in islice(_iterate_findings(submitted, runnable), MAX_ERRORS)
    )


def _iterate_findings(submitted: Graph, runnable: RunnableGraph) -> Iterator[Finding]:
    drawn = {(seed.node_id, seed.input) for seed in runnable.check_result.seeds}
    suggested = 0
    for node_id, node in submitted.items():
        accepted = runnable.check_result.graph.get(node_id)
        if accepted is None:
            message = f"Node {show(node_id)} ({printable(node.class_type)}) feeds no output node, so it does not run."
            yield Finding(GraphFault("node_not_used", message), node_id)
            continue
        for name, value in node.inputs.items():
            if value is None:
                continue
            if (node_id, name) in drawn:
                message = (
                    f"{_build_input_label(node, name)} gets a random value at each submit. The job's seeds list it."
                )
                yield Finding(GraphFault("seed_random", message), node_id, name)
            elif name not in accepted.inputs:
                yield Finding(
                    _build_ignored_fault(node, name, runnable.catalog, suggest=suggested < MAX_SUGGESTED), node_id, name
                )
                suggested += 1
            elif type(unwrap_value(value)) is not type(unwrap_value(accepted.inputs[name])) or (
                isinstance(value, str) and value != accepted.inputs[name]
            ):
                label, before = _build_input_label(node, name), show(unwrap_value(value))
                message = f"{label} is {before} and runs as {show(accepted.inputs[name])}."
                yield Finding(GraphFault("value_converted", message), node_id, name)


def _build_ignored_fault(node: GraphNode, name: str, catalog: Catalog, *, suggest: bool) -> GraphFault:
    declared = tuple(resolve_inputs(catalog.get_class_facts(node.class_type), node.inputs))
    similar = find_similar_names(name, declared)[:1] if suggest else ()
    hint = f" Did you mean {printable(similar[0])}?" if similar else ""
    message = f"{printable(node.class_type)} has no input {show(name)}, so it is ignored.{hint}"
    return GraphFault("input_ignored", message, similar or None)


def _build_input_label(node: GraphNode, name: str) -> str:
    return f"{printable(node.class_type)}.{printable(name)}"
