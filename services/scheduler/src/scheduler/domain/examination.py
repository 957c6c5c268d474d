"""Everything that is decided about a submitted graph before the database is asked."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from contracts.auth import Limits
from contracts.graph_policy.policy import TenantPolicy
from contracts.scheduler import InvalidWorkflow, NoFleet
from contracts.wire.errors import FieldError
from contracts.workflow import MAX_ERRORS, Graph, read_graph
from scheduler.domain.catalog import Catalog, check, needs_of, with_suggestions
from scheduler.domain.graph_limits import appraise


class Terms(NamedTuple):
    """What a graph is judged by.

    Attributes:
        policy: of its tenant.
        limits: of its tenant.
        sizes: width and height of uploads by the ids that it may name, as far as known.
        frames_per_image: frames of an animation or a video that count as one image.
    """

    policy: TenantPolicy
    limits: Limits
    sizes: Mapping[str, tuple[int, int]]
    frames_per_image: int


class Examined(NamedTuple):
    """A graph that at least one node of the fleet can run.

    Attributes:
        graph: as JSON text.
        needs: what a node must have to run it; see ``needs_of``.
        images: that it makes at most.
    """

    graph: str
    needs: tuple[str, ...]
    images: int


class Unrunnable(NamedTuple):
    """A graph that no node can run: what the node that comes closest lacks."""

    graph: Graph
    errors: tuple[FieldError, ...]
    catalog: Catalog

    def refusal(self) -> InvalidWorkflow:
        """The refusal, with suggestions: takes milliseconds."""
        return InvalidWorkflow(with_suggestions(self.errors, self.graph, self.catalog))


def examine(
    raw: Mapping[str, Any], uploads: frozenset[str], catalogs: Sequence[Catalog], terms: Terms
) -> Examined | Unrunnable:
    """What becomes of a graph. The time it takes grows with graph times catalogs.

    Args:
        raw: the graph, as it was sent.
        uploads: ids that it may name where a node takes a file.
        catalogs: one of each kind of node.
        terms: of its tenant.

    Raises:
        InvalidWorkflow: it is no graph, or beyond the bounds of its tenant.
        NoFleet: there are no catalogs.
    """
    graph, errors = read_graph(raw, "/workflow")
    if errors:
        raise InvalidWorkflow(errors)
    closest: Unrunnable | None = None
    for catalog in catalogs:
        # More errors than the closest has already are of no interest.
        errors = check(graph, catalog, uploads, terms.policy, at_most=len(closest.errors) if closest else MAX_ERRORS)
        if not errors:
            return _measured(raw, graph, catalog, terms)
        if closest is None or len(errors) < len(closest.errors):
            closest = Unrunnable(graph, errors, catalog)
    if closest is None:
        raise NoFleet(retry_after_s=5)
    return closest


def _measured(raw: Mapping[str, Any], graph: Graph, catalog: Catalog, terms: Terms) -> Examined:
    """A graph that a node of this catalog can run, if it is within the bounds of its tenant."""
    images, errors = appraise(
        graph,
        terms.limits,
        specs=catalog.classes,
        uploads=terms.sizes,
        frames_per_image=terms.frames_per_image,
    )
    if errors:
        raise InvalidWorkflow(errors)
    return Examined(orjson.dumps(raw).decode(), needs_of(graph, catalog), images)
