"""Checks everything about a submitted workflow: format, fleet, graph policy and limits of the tenant."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

import orjson

from contracts.auth.tiers import Limits
from contracts.graph_policy.policy import TenantPolicy
from contracts.scheduler.jobs import DrawnSeed
from contracts.scheduler.submissions import InvalidWorkflow
from contracts.workflow import Graph, graph_to_json, is_ui_format, read_graph
from scheduler.domain.catalog import Catalog
from scheduler.domain.editor_file_check import check_editor_file
from scheduler.domain.fleet_check import RunnableGraph, UnrunnableGraph, check_fleet, drop_node_pointers
from scheduler.domain.graph_limits import check_graph_limits
from scheduler.domain.validation.graph_check import DrawNumber
from scheduler.domain.workflow_fingerprint import compute_fingerprint


class CheckContext(NamedTuple):
    """What a check depends on, apart from the graph and the catalogs.

    Attributes:
        policy: graph policy of the tenant.
        limits: limits of the tenant.
        sizes: width and height in pixels of uploads by id, as far as known.
        frames_per_image: frames of an animation or a video that count as one image.
        now: time for dates in file names.
        types: media types of uploads by id, as far as known.
        randomize_seeds: draw all seeds, not only those of -1.
    """

    policy: TenantPolicy
    limits: Limits
    sizes: Mapping[str, tuple[int, int]]
    frames_per_image: int
    now: datetime
    types: Mapping[str, str] = MappingProxyType({})
    randomize_seeds: bool = False


class CheckedWorkflow(NamedTuple):
    """A workflow that at least one node of the fleet can run.

    Attributes:
        graph: the graph that a node will run, as JSON text.
        needs: what a node must have to run it; see ``GraphCheckResult``.
        images: upper bound of the images that it makes.
        seeds: the seeds that were drawn.
        submitted_graph: the graph as it was submitted.
        runnable: the check result of the node that accepts it, and the node's catalog.
        fingerprint: see ``compute_fingerprint``.
    """

    graph: str
    needs: tuple[str, ...]
    images: int
    seeds: tuple[DrawnSeed, ...]
    submitted_graph: Graph
    runnable: RunnableGraph
    fingerprint: int


def check_workflow(
    raw: Mapping[str, Any],
    uploads: frozenset[str],
    catalogs: Sequence[Catalog],
    context: CheckContext,
    draw_seed: DrawNumber,
) -> CheckedWorkflow | UnrunnableGraph:
    """Check a workflow. The time grows with the size of the graph times the number of catalogs.

    Args:
        raw: a graph in API format, or a file of ComfyUI's editor.
        uploads: ids of uploads that the graph may name where a node takes a file.
        catalogs: one per kind of node.
        context: what the check depends on apart from these.
        draw_seed: see ``check_graph``.

    Raises:
        InvalidWorkflow: the body is not a graph and cannot be converted exactly, or it exceeds the tenant's limits.
        EmptyFleet: there are no catalogs.
    """
    if is_ui_format(raw):
        return _check_editor_file_within_limits(raw, uploads, catalogs, context, draw_seed)
    graph, errors = read_graph(raw, "/workflow")
    if errors:
        raise InvalidWorkflow(errors)
    found = check_fleet(
        graph,
        uploads,
        catalogs,
        policy=context.policy,
        draw_seed=draw_seed,
        randomize_seeds=context.randomize_seeds,
        types=context.types,
    )
    return found if isinstance(found, UnrunnableGraph) else _check_limits(found, graph, context)


def _check_editor_file_within_limits(
    raw: Mapping[str, Any],
    uploads: frozenset[str],
    catalogs: Sequence[Catalog],
    context: CheckContext,
    draw_seed: DrawNumber,
) -> CheckedWorkflow | UnrunnableGraph:
    found = check_editor_file(
        raw,
        uploads,
        catalogs,
        policy=context.policy,
        draw_seed=draw_seed,
        randomize_seeds=context.randomize_seeds,
        now=context.now,
    )
    if isinstance(found, UnrunnableGraph):
        return found
    try:
        return _check_limits(found, found.check_result.graph, context)
    except InvalidWorkflow as refusal:
        raise InvalidWorkflow(drop_node_pointers(refusal.details.errors)) from None


def _check_limits(runnable: RunnableGraph, submitted_graph: Graph, context: CheckContext) -> CheckedWorkflow:
    """Check a runnable graph against the tenant's limits.

    Sizes and text are measured on the graph that the node gets: with converted values, and without unused nodes.
    """
    checked = runnable.check_result
    images, errors = check_graph_limits(
        checked.graph,
        context.limits,
        nodes=len(submitted_graph),
        specs=runnable.catalog.classes,
        uploads=context.sizes,
        frames_per_image=context.frames_per_image,
    )
    if errors:
        raise InvalidWorkflow(errors)
    text = orjson.dumps(graph_to_json(checked.graph)).decode()
    fingerprint = compute_fingerprint(checked.graph)
    return CheckedWorkflow(text, checked.needs, images, checked.seeds, submitted_graph, runnable, fingerprint)
