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

_NO_TYPES: Mapping[str, str] = MappingProxyType({})


class RunnableGraph(NamedTuple):
    """A graph that nodes with this catalog can run."""

    check_result: GraphCheckResult
    catalog: Catalog


class UnrunnableGraph(NamedTuple):
    """A graph that no node can run.

    Attributes:
        graph: the graph that was checked.
        findings: the findings of the node that comes closest to accepting it.
        other_catalogs: the catalogs of the other nodes.
        is_editor_file: the graph was converted from a file of ComfyUI's editor, so pointers into it mean nothing to the
            sender.
    """

    graph: Graph
    findings: tuple[Finding, ...]
    other_catalogs: tuple[Catalog, ...]
    is_editor_file: bool = False

    def build_refusal(self) -> InvalidWorkflow:
        """Build the refusal, with suggestions. Takes milliseconds."""
        errors = build_field_errors(self.findings, self.graph, self.other_catalogs)
        return InvalidWorkflow(drop_node_pointers(errors) if self.is_editor_file else errors)


def drop_node_pointers(errors: Sequence[FieldError]) -> tuple[FieldError, ...]:
    """Return the errors with pointers to the whole workflow. ``node_id`` and ``input`` stay."""
    return tuple(error.model_copy(update={"pointer": "/workflow"}) for error in errors)


class _ClosestNode(NamedTuple):
    """The node with the fewest unknown classes, then the fewest findings."""

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
    types: Mapping[str, str] = _NO_TYPES,
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
        check_result = check_graph(graph, catalog, draw_seed=draw_seed, randomize_seeds=randomize_seeds)
        kind_findings = check_file_kinds(check_result.graph, catalog, types)
        found = chain(_collect_findings(graph, check_result, catalog, uploads, policy), kind_findings)
        findings = tuple(islice(found, MAX_ERRORS))
        if not findings:
            if not check_result.has_unlisted_choice:
                return RunnableGraph(check_result, catalog)
            # Another catalog may list the choices that this one does not.
            accepted = accepted or RunnableGraph(check_result, catalog)
            continue
        rank = (
            sum(finding.fault.code == UNKNOWN_CLASS for finding in findings),
            len(findings),
        )
        if closest is None or rank < closest.rank:
            closest = _ClosestNode(rank, findings, catalog)
    if accepted is not None:
        return accepted
    if closest is None:
        raise EmptyFleet
    other_catalogs = tuple(catalog for catalog in catalogs if catalog is not closest.catalog)
    return UnrunnableGraph(graph, closest.findings, other_catalogs)


def _collect_findings(
    graph: Graph, check_result: GraphCheckResult, catalog: Catalog, uploads: frozenset[str], policy: TenantPolicy
) -> tuple[Finding, ...]:
    """Collect the findings of the policy and of the node, at most ``MAX_ERRORS``.

    Classes of all nodes come first, then inputs of nodes that an output needs. For one input the policy's finding
    replaces the node's, and a node whose class is refused has no further findings.
    """
    rules = catalog.rules
    refused = tuple(map(_to_finding, rules.find_class_errors(graph, policy)))
    refused_classes = {graph[finding.node_id].class_type for finding in refused if finding.node_id is not None}
    policy_findings = tuple(map(_to_finding, rules.find_input_errors(check_result.graph, policy, uploads)))
    node_findings = {(finding.node_id, finding.input): finding for finding in check_result.findings}
    covered = {(finding.node_id, finding.input) for finding in policy_findings}
    findings = chain(
        refused,
        (
            _prefer_suggesting_finding(finding, node_findings.get((finding.node_id, finding.input)))
            for finding in policy_findings
        ),
        (
            finding
            for location, finding in node_findings.items()
            if location not in covered and not _concerns_class(finding, refused_classes, graph)
        ),
        check_file_inputs(check_result.graph, catalog, uploads),
    )
    return tuple(islice(findings, MAX_ERRORS))


def _prefer_suggesting_finding(policy_finding: Finding, node_finding: Finding | None) -> Finding:
    """Choose between the policy's and the node's finding for one input.

    If both have the same code, return the node's, which can suggest similar names; otherwise the policy's.
    """
    if node_finding is not None and node_finding.fault.code == policy_finding.fault.code:
        return node_finding
    return policy_finding


def _concerns_class(finding: Finding, class_types: set[str], graph: Graph) -> bool:
    return finding.node_id is not None and graph[finding.node_id].class_type in class_types


def _to_finding(error: FieldError) -> Finding:
    return Finding(GraphFault(error.code, error.message, error.allowed), error.node_id, error.input)
