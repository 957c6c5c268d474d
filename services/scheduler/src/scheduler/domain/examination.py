"""Everything that is decided about a submitted graph before the database is asked."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

import orjson

from contracts.auth.tiers import Limits
from contracts.graph_policy.policy import TenantPolicy
from contracts.scheduler.jobs import DrawnSeed
from contracts.scheduler.submissions import InvalidWorkflow
from contracts.workflow import Graph, is_ui_format, read_graph, written
from scheduler.domain.catalog import Catalog
from scheduler.domain.editor_file_check import check_editor_file
from scheduler.domain.fleet_check import Runnable, Unrunnable, check_fleet, without_places
from scheduler.domain.graph_limits import appraise
from scheduler.domain.validation.graph_check import DrawSeed


class Terms(NamedTuple):
    """What a graph is judged by.

    Attributes:
        policy: of its tenant.
        limits: of its tenant.
        sizes: width and height of uploads by the ids that it may name, as far as known.
        frames_per_image: frames of an animation or a video that count as one image.
        types: media types of the same uploads, as far as known.
        now: for dates that ComfyUI's editor writes into file names.
        randomize_seeds: whether to draw all seeds, not only those of -1.
    """

    policy: TenantPolicy
    limits: Limits
    sizes: Mapping[str, tuple[int, int]]
    frames_per_image: int
    now: datetime
    types: Mapping[str, str] = MappingProxyType({})
    randomize_seeds: bool = False


class Examined(NamedTuple):
    """A graph that at least one node of the fleet can run.

    Attributes:
        graph: as a node is to run it, as JSON text.
        needs: what a node must have to run it; see ``Verdict``.
        images: that it makes at most.
        seeds: that were drawn.
        sent: the graph as it came.
        found: the node's verdict, and its catalog.
    """

    graph: str
    needs: tuple[str, ...]
    images: int
    seeds: tuple[DrawnSeed, ...]
    sent: Graph
    found: Runnable


def examine(
    raw: Mapping[str, Any], uploads: frozenset[str], catalogs: Sequence[Catalog], terms: Terms, draw_seed: DrawSeed
) -> Examined | Unrunnable:
    """What becomes of a graph. The time it takes grows with graph times catalogs.

    Args:
        raw: the graph, as it was sent, or a file of ComfyUI's editor.
        uploads: ids that it may name where a node takes a file.
        catalogs: one of each kind of node.
        terms: of its tenant.
        draw_seed: see ``check_graph``.

    Raises:
        InvalidWorkflow: it is no graph and cannot be made one exactly, or beyond the bounds of its tenant.
        EmptyFleet: there are no catalogs.
    """
    if is_ui_format(raw):
        return _examine_editor_file(raw, uploads, catalogs, terms, draw_seed)
    graph, errors = read_graph(raw, "/workflow")
    if errors:
        raise InvalidWorkflow(errors)
    found = check_fleet(
        graph,
        uploads,
        catalogs,
        policy=terms.policy,
        draw_seed=draw_seed,
        randomize_seeds=terms.randomize_seeds,
        types=terms.types,
    )
    return found if isinstance(found, Unrunnable) else _measured(found, graph, terms)


def _examine_editor_file(
    raw: Mapping[str, Any], uploads: frozenset[str], catalogs: Sequence[Catalog], terms: Terms, draw_seed: DrawSeed
) -> Examined | Unrunnable:
    found = check_editor_file(
        raw,
        uploads,
        catalogs,
        policy=terms.policy,
        draw_seed=draw_seed,
        randomize_seeds=terms.randomize_seeds,
        now=terms.now,
    )
    if isinstance(found, Unrunnable):
        return found
    try:
        return _measured(found, found.verdict.graph, terms)
    except InvalidWorkflow as refusal:
        raise InvalidWorkflow(without_places(refusal.refused.errors)) from None


def _measured(found: Runnable, sent: Graph, terms: Terms) -> Examined:
    """A graph that some node can run, if it is within the bounds of its tenant.

    Measured is what the node gets: with numbers where numbers were sent as text, and nothing that no output needs.
    """
    verdict = found.verdict
    images, errors = appraise(
        verdict.graph,
        terms.limits,
        nodes=len(sent),
        specs=found.catalog.classes,
        uploads=terms.sizes,
        frames_per_image=terms.frames_per_image,
    )
    if errors:
        raise InvalidWorkflow(errors)
    text = orjson.dumps(written(verdict.graph)).decode()
    return Examined(text, verdict.needs, images, verdict.seeds, sent, found)
