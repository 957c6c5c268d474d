"""Checks whether a node of the fleet accepts a graph, and explains the refusal if none does."""

from collections.abc import Mapping, Sequence
from itertools import chain, islice
from types import MappingProxyType
from typing import NamedTuple

from contracts.graph_policy.policy import TenantPolicy
from contracts.scheduler.submissions import EmptyFleet, InvalidWorkflow
from contracts.wire.errors import FieldError
from contracts.workflow import MAX_ERRORS, Graph
from scheduler.domain.catalog import Catalog
from scheduler.domain.file_inputs import check_file_inputs
from scheduler.domain.file_kinds import check_file_kinds
from scheduler.domain.validation.field_errors import build_field_errors
from scheduler.domain.validation.findings import Finding, GraphFault
from scheduler.domain.validation.graph_check import UNKNOWN_CLASS, DrawNumber, GraphCheckResult, check_graph

_UNKNOWN: Mapping[str, str] = MappingProxyType({})


class RunnableGraph(NamedTuple):
    """A graph that nodes with this catalog can run."""

    verdict: GraphCheckResult
    catalog: Catalog


class UnrunnableGraph(NamedTuple):
    """A graph that no node can run.

    Attributes:
        graph: the graph that was checked.
        findings: the findings of the node that comes closest to accepting it.
        others: the catalogs of the other nodes.
        is_editor_file: the graph was converted from a file of ComfyUI's editor, so pointers into it mean nothing to the
            sender.
    """

    graph: Graph
    findings: tuple[Finding, ...]
    others: tuple[Catalog, ...]
    is_editor_file: bool = False

    def refusal(self) -> InvalidWorkflow:
        """Build the refusal, with suggestions. Takes milliseconds."""
        errors = build_field_errors(self.findings, self.graph, self.others)
        return InvalidWorkflow(drop_node_pointers(errors) if self.is_editor_file else errors)


def drop_node_pointers(errors: Sequence[FieldError]) -> tuple[FieldError, ...]:
    """Return the errors with pointers to the whole workflow. ``node_id`` and ``input`` stay."""
    return tuple(error.model_copy(update={"pointer": "/workflow"}) for error in errors)


class _ClosestNode(NamedTuple):
    """The node with the fewest unknown classes, then with the fewest findings."""

    rank: tuple[int, int]
    findings: tuple[Finding, ...]
    catalog: Catalog


def check_fleet(
    graph: Graph,
    uploads: frozenset[str],
    catalogs: Sequence[Catalog],
    *,
    policy: TenantPolicy,
    draw_seed: DrawNumber,
    randomize_seeds: bool = False,
    types: Mapping[str, str] = _UNKNOWN,
) -> RunnableGraph | UnrunnableGraph:
    """Check a graph against all catalogs. The time grows with the size of the graph times the number of catalogs.

    A node that lists all choices of the graph is preferred to one that may know an unlisted choice.

    Args:
        graph: the graph to check.
        uploads: ids of uploads that the graph may name where a node takes a file.
        catalogs: one per kind of node.
        policy: graph policy of the tenant.
        draw_seed, randomize_seeds: see ``check_graph``.
        types: media types of uploads by id, as far as known.

    Raises:
        EmptyFleet: there are no catalogs.
    """
    accepted: RunnableGraph | None = None
    closest: _ClosestNode | None = None
    for catalog in catalogs:
        verdict = check_graph(graph, catalog, draw_seed=draw_seed, randomize_seeds=randomize_seeds)
        of_kinds = check_file_kinds(verdict.graph, catalog, types)
        findings = (*_collect_findings(graph, verdict, catalog, uploads, policy), *of_kinds)[:MAX_ERRORS]
        if not findings:
            if not verdict.unlisted:
                return RunnableGraph(verdict, catalog)
            accepted = accepted or RunnableGraph(
                verdict, catalog
            )  # another may list what this one has to know by itself
            continue
        rank = (sum(finding.fault.code == UNKNOWN_CLASS for finding in findings), len(findings))
        if closest is None or rank < closest.rank:
            closest = _ClosestNode(rank, findings, catalog)
    if accepted is not None:
        return accepted
    if closest is None:
        raise EmptyFleet
    others = tuple(catalog for catalog in catalogs if catalog is not closest.catalog)
    return UnrunnableGraph(graph, closest.findings, others)


def _collect_findings(
    graph: Graph, verdict: GraphCheckResult, catalog: Catalog, uploads: frozenset[str], policy: TenantPolicy
) -> tuple[Finding, ...]:
    """Collect the findings of the policy and of the node, at most ``MAX_ERRORS``.

    Classes of all nodes come first, then inputs of nodes that an output needs. For one input the policy's finding
    replaces the node's, and a node whose class is refused has no further findings.
    """
    rules = catalog.rules
    refused = tuple(map(_to_finding, rules.find_class_errors(graph, policy)))
    names = {graph[finding.node_id].class_type for finding in refused if finding.node_id is not None}
    of_policy = tuple(map(_to_finding, rules.find_input_errors(verdict.graph, policy, uploads)))
    own = {(one.node_id, one.input): one for one in verdict.findings}
    judged = {(one.node_id, one.input): one for one in of_policy}
    findings = chain(
        refused,
        (_prefer_suggesting_finding(one, own.get((one.node_id, one.input))) for one in of_policy),
        (one for place, one in own.items() if place not in judged and not _concerns_class(one, names, graph)),
        check_file_inputs(verdict.graph, catalog, uploads),
    )
    return tuple(islice(findings, MAX_ERRORS))


def _prefer_suggesting_finding(of_policy: Finding, own: Finding | None) -> Finding:
    """Return the node's own finding if its code is the same, because it can suggest similar names."""
    return own if own is not None and own.fault.code == of_policy.fault.code else of_policy


def _concerns_class(finding: Finding, class_types: set[str], graph: Graph) -> bool:
    return finding.node_id is not None and graph[finding.node_id].class_type in class_types


def _to_finding(error: FieldError) -> Finding:
    return Finding(GraphFault(error.code, error.message, error.allowed), error.node_id, error.input)
