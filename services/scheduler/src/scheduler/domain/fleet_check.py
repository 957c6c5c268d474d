"""Whether any node of the fleet accepts a graph, and what to tell the sender if none does."""

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from contracts.scheduler import InvalidWorkflow, NoFleet
from contracts.workflow import MAX_ERRORS, Graph
from scheduler.domain.catalog import Catalog
from scheduler.domain.file_inputs import file_findings
from scheduler.domain.validation.field_errors import field_errors
from scheduler.domain.validation.findings import Finding
from scheduler.domain.validation.graph_check import UNKNOWN_CLASS, DrawSeed, Verdict, check_graph


class Unrunnable(NamedTuple):
    """A graph that no node can run: what the node that comes closest finds wrong with it."""

    graph: Graph
    findings: tuple[Finding, ...]
    others: tuple[Catalog, ...]

    def refusal(self) -> InvalidWorkflow:
        """The refusal, with suggestions: takes milliseconds."""
        return InvalidWorkflow(field_errors(self.findings, self.graph, self.others))


class _Closest(NamedTuple):
    """The node that lacks least: it has the classes, then it has the fewest other findings."""

    rank: tuple[int, int]
    findings: tuple[Finding, ...]
    catalog: Catalog


def check_fleet(
    graph: Graph, uploads: frozenset[str], catalogs: Sequence[Catalog], *, draw_seed: DrawSeed
) -> Verdict | Unrunnable:
    """The verdict of a node that accepts the graph, or why none does. Its time grows with graph times catalogs.

    Args:
        uploads: ids that the graph may name where a node takes a file.
        catalogs: one of each kind of node.
        draw_seed: see ``check_graph``.

    Raises:
        NoFleet: there are no catalogs.
    """
    accepted: Verdict | None = None
    closest: _Closest | None = None
    for catalog in catalogs:
        verdict = check_graph(graph, catalog, draw_seed=draw_seed)
        findings = verdict.findings or tuple(islice(file_findings(verdict.graph, catalog, uploads), MAX_ERRORS))
        if not findings:
            if not verdict.unlisted:
                return verdict
            accepted = accepted or verdict  # another may list what this one would have to know by itself
            continue
        rank = (sum(finding.fault.code == UNKNOWN_CLASS for finding in findings), len(findings))
        if closest is None or rank < closest.rank:
            closest = _Closest(rank, findings, catalog)
    if accepted is not None:
        return accepted
    if closest is None:
        raise NoFleet(retry_after_s=5)
    others = tuple(catalog for catalog in catalogs if catalog is not closest.catalog)
    return Unrunnable(graph, closest.findings, others)
