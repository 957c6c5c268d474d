"""Whether any node of the fleet accepts a graph, and what to tell the sender if none does."""

from collections.abc import Mapping, Sequence
from itertools import chain, islice
from types import MappingProxyType
from typing import NamedTuple

from contracts.graph_policy.policy import TenantPolicy
from contracts.scheduler.submissions import EmptyFleet, InvalidWorkflow
from contracts.wire.errors import FieldError
from contracts.workflow import MAX_ERRORS, Graph
from scheduler.domain.catalog import Catalog
from scheduler.domain.file_inputs import file_findings
from scheduler.domain.file_kinds import kind_findings
from scheduler.domain.validation.field_errors import field_errors
from scheduler.domain.validation.findings import Fault, Finding
from scheduler.domain.validation.graph_check import UNKNOWN_CLASS, DrawSeed, GraphCheckResult, check_graph

_UNKNOWN: Mapping[str, str] = MappingProxyType({})


class Runnable(NamedTuple):
    """A graph that a node of this catalog can run."""

    verdict: GraphCheckResult
    catalog: Catalog


class Unrunnable(NamedTuple):
    """A graph that no node can run: what the node that comes closest finds wrong with it.

    Attributes:
        is_editor_file: the graph was made of a file of ComfyUI's editor, which has no such places.
    """

    graph: Graph
    findings: tuple[Finding, ...]
    others: tuple[Catalog, ...]
    is_editor_file: bool = False

    def refusal(self) -> InvalidWorkflow:
        """The refusal, with suggestions: takes milliseconds."""
        errors = field_errors(self.findings, self.graph, self.others)
        return InvalidWorkflow(without_places(errors) if self.is_editor_file else errors)


def without_places(errors: Sequence[FieldError]) -> tuple[FieldError, ...]:
    """The same errors, pointing at the workflow as a whole; node and input still say where."""
    return tuple(error.model_copy(update={"pointer": "/workflow"}) for error in errors)


class _Closest(NamedTuple):
    """The node that lacks least: it has the classes, then it has the fewest other findings."""

    rank: tuple[int, int]
    findings: tuple[Finding, ...]
    catalog: Catalog


def check_fleet(
    graph: Graph,
    uploads: frozenset[str],
    catalogs: Sequence[Catalog],
    *,
    policy: TenantPolicy,
    draw_seed: DrawSeed,
    randomize_seeds: bool = False,
    types: Mapping[str, str] = _UNKNOWN,
) -> Runnable | Unrunnable:
    """The verdict of a node that accepts the graph, or why none does. Its time grows with graph times catalogs.

    Args:
        uploads: ids that the graph may name where a node takes a file.
        catalogs: one of each kind of node.
        policy: of the tenant.
        draw_seed, randomize_seeds: see ``check_graph``.
        types: media types of uploads by their ids, as far as known.

    Raises:
        EmptyFleet: there are no catalogs.
    """
    accepted: Runnable | None = None
    closest: _Closest | None = None
    for catalog in catalogs:
        verdict = check_graph(graph, catalog, draw_seed=draw_seed, randomize_seeds=randomize_seeds)
        of_kinds = kind_findings(verdict.graph, catalog, types)
        findings = (*_findings(graph, verdict, catalog, uploads, policy), *of_kinds)[:MAX_ERRORS]
        if not findings:
            if not verdict.unlisted:
                return Runnable(verdict, catalog)
            accepted = accepted or Runnable(verdict, catalog)  # another may list what this one has to know by itself
            continue
        rank = (sum(finding.fault.code == UNKNOWN_CLASS for finding in findings), len(findings))
        if closest is None or rank < closest.rank:
            closest = _Closest(rank, findings, catalog)
    if accepted is not None:
        return accepted
    if closest is None:
        raise EmptyFleet
    others = tuple(catalog for catalog in catalogs if catalog is not closest.catalog)
    return Unrunnable(graph, closest.findings, others)


def _findings(
    graph: Graph, verdict: GraphCheckResult, catalog: Catalog, uploads: frozenset[str], policy: TenantPolicy
) -> tuple[Finding, ...]:
    """What the policy and the node find: first classes, of all nodes, then values, of those that an output needs.

    The policy has the last word about an input, and nothing more is said of a node whose class it refuses.
    """
    rules = catalog.rules
    refused = tuple(map(_as_finding, rules.class_errors(graph, policy)))
    names = {graph[finding.node_id].class_type for finding in refused if finding.node_id is not None}
    of_policy = tuple(map(_as_finding, rules.input_errors(verdict.graph, policy, uploads)))
    own = {(one.node_id, one.input): one for one in verdict.findings}
    judged = {(one.node_id, one.input): one for one in of_policy}
    findings = chain(
        refused,
        (_of_both(one, own.get((one.node_id, one.input))) for one in of_policy),
        (one for place, one in own.items() if place not in judged and not _is_of(one, names, graph)),
        file_findings(verdict.graph, catalog, uploads),
    )
    return tuple(islice(findings, MAX_ERRORS))


def _of_both(of_policy: Finding, own: Finding | None) -> Finding:
    """Where both say the same, the node's own check also knows the nearest names."""
    return own if own is not None and own.fault.code == of_policy.fault.code else of_policy


def _is_of(finding: Finding, class_types: set[str], graph: Graph) -> bool:
    return finding.node_id is not None and graph[finding.node_id].class_type in class_types


def _as_finding(error: FieldError) -> Finding:
    return Finding(Fault(error.code, error.message, error.allowed), error.node_id, error.input)
