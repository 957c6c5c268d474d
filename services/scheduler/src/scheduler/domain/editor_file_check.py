"""Checks whether a node of the fleet can run a file of ComfyUI's editor."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from contracts.graph_policy.policy import TenantPolicy
from contracts.scheduler.submissions import EmptyFleet, InvalidWorkflow
from contracts.wire.errors import FieldError
from contracts.wire.show_values import make_printable
from contracts.workflow import MAX_ERRORS, graph_to_json, read_graph
from scheduler.domain.catalog import Catalog
from scheduler.domain.editor_file.convert import ConvertedGraph, convert_editor_file
from scheduler.domain.editor_file.parse import InexactError
from scheduler.domain.fleet_check import RunnableGraph, UnrunnableGraph, check_fleet
from scheduler.domain.validation.graph_check import DrawNumber

UI_FORMAT = "workflow_ui_format"
API_FORMAT_ADVICE = "Send the workflow in API format instead: in ComfyUI, menu Workflow, Export (API)."


def check_editor_file(
    raw: Mapping[str, Any],
    uploads: frozenset[str],
    catalogs: Sequence[Catalog],
    *,
    policy: TenantPolicy,
    draw_seed: DrawNumber,
    now: datetime,
    randomize_seeds: bool = False,
) -> RunnableGraph | UnrunnableGraph:
    """Convert the file to the graph that the editor would send, and check that graph.

    The same file may mean another graph on nodes of another version, so a graph that was converted with one catalog is
    checked with that catalog only.

    Args:
        raw: the decoded file.
        uploads: ids of uploads that the graph may name where a node takes a file.
        catalogs: one per kind of node.
        policy: graph policy of the tenant.
        draw_seed: draws an integer from 0 to below its argument, for seeds of -1 and for alternatives in text.
        now: time for dates in file names.
        randomize_seeds: see ``check_graph``.

    Raises:
        InvalidWorkflow: the file cannot be converted exactly with any catalog.
        EmptyFleet: there are no catalogs.
    """
    accepted: RunnableGraph | None = None
    closest: UnrunnableGraph | None = None
    fewest_errors: tuple[FieldError, ...] = ()
    for catalog in catalogs:
        converted = convert_editor_file(raw, catalog, draw_number=draw_seed, now=now)
        errors = list_inexact_errors(converted, catalog) or read_graph(graph_to_json(converted.graph), "/workflow")[1]
        if errors:
            fewest_errors = min((fewest_errors or errors, errors), key=len)
            continue
        found = check_fleet(
            converted.graph, uploads, [catalog], policy=policy, draw_seed=draw_seed, randomize_seeds=randomize_seeds
        )
        if isinstance(found, RunnableGraph):
            if not found.check_result.has_unlisted_choice:
                return found
            accepted = accepted or found
        elif closest is None or len(found.findings) < len(closest.findings):
            other_catalogs = tuple(other for other in catalogs if other is not catalog)
            closest = found._replace(other_catalogs=other_catalogs, is_editor_file=True)
    if accepted is not None or closest is not None:
        return accepted or closest  # type: ignore[return-value] # one of them is not None
    if not fewest_errors:
        raise EmptyFleet(retry_after_s=5)
    raise InvalidWorkflow(fewest_errors[:MAX_ERRORS])


def list_inexact_errors(converted: ConvertedGraph, catalog: Catalog) -> tuple[FieldError, ...]:
    """List why the file cannot be converted exactly, including nodes of unknown classes."""
    faults = converted.faults
    if not converted.graph and not faults:
        faults = (InexactError("It has no node that runs."),)
    if not faults:
        return ()
    reported = {fault.node_id for fault in faults}
    unknown = [
        InexactError("No ComfyUI server of the fleet has its class.", node_id)
        for node_id, node in converted.graph.items()
        if node.class_type not in catalog.classes and node_id not in reported
    ]
    return tuple(_build_field_error(fault, converted) for fault in (*faults, *unknown))


def _build_field_error(fault: InexactError, converted: ConvertedGraph) -> FieldError:
    where = "This workflow file of ComfyUI's editor"
    if fault.node_id is not None:
        node = converted.graph.get(fault.node_id)
        node_label = f"Node {make_printable(fault.node_id)}" + (f" ({make_printable(node.class_type)})" if node else "")
        where = f"{node_label} of this workflow file of ComfyUI's editor"
    message = f"{where} cannot be converted exactly. {fault.reason} {API_FORMAT_ADVICE}"
    return FieldError(pointer="/workflow", code=UI_FORMAT, message=message, node_id=fault.node_id)
