"""Turns the workflow of a job back into a submission that would run it again."""

from collections.abc import Mapping
from typing import Any

from contracts.scheduler.jobs import Job
from contracts.workflow import is_link
from gateway.workflows.builtin import choice as built_in
from gateway.workflows.parameters import Parameters
from gateway.workflows.schemas import WorkflowVersion

Graph = Mapping[str, Any]

_RANDOM_SEEDS = (-1, "-1")  # seeds that were replaced when the job was accepted


def rebuild_submission(job: Job, graph: Graph, saved: WorkflowVersion | None) -> dict[str, Any]:
    """Return the body of a submission for the same job, with the seeds that were drawn.

    Args:
        job: the job.
        graph: its workflow, as it was accepted.
        saved: the newest version of the saved workflow that it ran, if that still exists.

    Without a matching version, or for a graph that was submitted, the body has the graph itself.
    """
    common: dict[str, Any] = {"labels": job.labels} if job.labels else {}
    if job.priority:
        common["priority"] = job.priority
    if job.workflow in built_in.NAMES:
        return _build_prompt_fields(job.workflow, graph) | common
    if saved is not None and _is_graph_of_workflow(saved, graph):
        values = _read_parameter_values(saved.parameters, graph)
        return {
            "workflow_name": saved.summary.name,
            "version": saved.summary.version,
            "parameters": values,
        } | common
    return {"workflow": dict(graph)} | common


def _build_prompt_fields(name: str, graph: Graph) -> dict[str, Any]:
    """Return the fields of a submission with ``prompt``."""
    fields: dict[str, Any] = {}
    for (node_id, input_name), pointer in built_in.find_field_pointers(name).items():
        value = _find_literal(graph, node_id, input_name)
        if value is not None:
            fields[pointer.removeprefix("/")] = value
    return fields


def _is_graph_of_workflow(saved: WorkflowVersion, graph: Graph) -> bool:
    """Whether the graph is that of the saved workflow, except for its parameters and drawn seeds."""
    targets = {(parameter.node, parameter.input) for parameter in saved.parameters.values()}
    for node_id, node in graph.items():
        saved_node = saved.graph.get(node_id)
        if saved_node is None or saved_node["class_type"] != node["class_type"]:
            return False
        for name, value in node["inputs"].items():
            saved_value = saved_node["inputs"].get(name)
            if (node_id, name) not in targets and saved_value not in (value, *_RANDOM_SEEDS):
                return False
    return True


def _read_parameter_values(parameters: Parameters, graph: Graph) -> dict[str, Any]:
    found = {name: _find_literal(graph, target.node, target.input) for name, target in parameters.items()}
    return {name: value for name, value in found.items() if value is not None}


def _find_literal(graph: Graph, node_id: str, input_name: str) -> Any:
    """Return the literal value of an input; None if there is no such input, or it is linked."""
    node = graph.get(node_id)
    value = node["inputs"].get(input_name) if node is not None else None
    return None if is_link(value) else value
