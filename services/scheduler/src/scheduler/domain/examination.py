"""Everything that is decided about a submitted graph before the database is asked."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from contracts.scheduler import InvalidWorkflow
from contracts.workflow import estimate_images, read_graph, written
from scheduler.domain.catalog import Catalog
from scheduler.domain.fleet_check import Unrunnable, check_fleet
from scheduler.domain.validation.graph_check import DrawSeed


class Examined(NamedTuple):
    """A graph that at least one node of the fleet can run.

    Attributes:
        graph: as a node is to run it, as JSON text.
        needs: what a node must have to run it; see ``Verdict``.
        images: that it will make.
        seed: what was drawn where the graph says -1.
    """

    graph: str
    needs: tuple[str, ...]
    images: int
    seed: int | None


def examine(
    raw: Mapping[str, Any], uploads: frozenset[str], catalogs: Sequence[Catalog], draw_seed: DrawSeed
) -> Examined | Unrunnable:
    """What becomes of a graph. The time it takes grows with graph times catalogs.

    Args:
        raw: the graph, as it was sent.
        uploads: ids that it may name where a node takes a file.
        catalogs: one of each kind of node.
        draw_seed: see ``check_graph``.

    Raises:
        InvalidWorkflow: it is no graph.
        NoFleet: there are no catalogs.
    """
    graph, errors = read_graph(raw, "/workflow")
    if errors:
        raise InvalidWorkflow(errors)
    verdict = check_fleet(graph, uploads, catalogs, draw_seed=draw_seed)
    if isinstance(verdict, Unrunnable):
        return verdict
    text = orjson.dumps(written(verdict.graph)).decode()
    return Examined(text, verdict.needs, estimate_images(verdict.graph), verdict.seed)
