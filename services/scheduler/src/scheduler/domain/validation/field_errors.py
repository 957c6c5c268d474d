"""Turns findings into errors for the sender, with similar names and hints about other nodes."""

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

from contracts.catalog import Scalar
from contracts.wire.errors import FieldError
from contracts.wire.show_values import format_value, make_printable
from contracts.wire.text import escape_pointer_key
from contracts.workflow import Graph, is_model_file_name
from scheduler.domain.catalog import Catalog
from scheduler.domain.validation.findings import Finding
from scheduler.domain.validation.graph_check import MAX_LISTED, UNKNOWN_CLASS
from scheduler.domain.validation.suggestions import find_similar_names
from scheduler.domain.validation.values import NOT_IN_LIST, SHORT_LIST, describe_unlisted_choice

MAX_SUGGESTED = 5  # names per check for which similar names are looked up; each is compared with every known name
MAX_ERRORS_WITH_CHOICES = 10  # errors that list valid values; a list may have 20 long names
_CLASS_ERROR_CODES = frozenset({UNKNOWN_CLASS, "node_class_not_allowed"})
MAX_NAMES_IN_MESSAGE = 3  # similar names in the message itself
MODELS_ROUTE, CLASSES_ROUTE = "GET /api/v1/models", "GET /api/v1/nodes/classes"
_LIST_ROUTES = {UNKNOWN_CLASS: CLASSES_ROUTE}


def build_field_errors(
    findings: Sequence[Finding], graph: Graph, other_catalogs: Sequence[Catalog]
) -> tuple[FieldError, ...]:
    """Build the errors of a graph that no node accepts.

    Looks up similar names for at most ``MAX_SUGGESTED`` names, which takes milliseconds each, whatever names the graph
    contains.

    Args:
        findings: findings of the node that comes closest to accepting the graph.
        graph: the graph that was checked.
        other_catalogs: catalogs of the other nodes.
    """
    suggester = _Suggester(graph, other_catalogs)
    errors = (_build_field_error(finding, graph, other_catalogs, suggester) for finding in findings)
    return tuple(
        error
        if number < MAX_ERRORS_WITH_CHOICES or error.allowed is None
        else error.model_copy(update={"allowed": None})
        for number, error in enumerate(errors)
    )


class _Suggestions(NamedTuple):
    """The choices of all nodes, and those similar to the given name, best first."""

    choices: Sequence[Scalar]
    similar: tuple[Scalar, ...]


class _Suggester:
    """Looks up the choices of all nodes for at most ``MAX_SUGGESTED`` names."""

    def __init__(self, graph: Graph, other_catalogs: Sequence[Catalog]) -> None:
        self._graph, self._other_catalogs = graph, other_catalogs
        self._suggestions: dict[tuple[str, str, str | None], _Suggestions] = {}

    def suggest(self, finding: Finding) -> _Suggestions:
        """Return the valid choices of all nodes, and those similar to the given name.

        Beyond ``MAX_SUGGESTED`` names: none that are similar, and those of other nodes only if the finding's node has
        none.
        """
        name = finding.fault.given_name or ""
        class_type = self._graph[finding.node_id].class_type if finding.node_id is not None else ""
        key = (name, "" if finding.fault.code == UNKNOWN_CLASS else class_type, finding.input)
        if key not in self._suggestions:
            if len(self._suggestions) == MAX_SUGGESTED:
                return _Suggestions(finding.fault.choices or self._collect_choices(finding, class_type), ())
            choices = self._collect_choices(finding, class_type)
            self._suggestions[key] = _Suggestions(choices, find_similar_names(name, choices))
        return self._suggestions[key]

    def _collect_choices(self, finding: Finding, class_type: str) -> Sequence[Scalar]:
        """Collect the choices of the finding's node, then those that only other nodes have."""
        if finding.fault.code == UNKNOWN_CLASS:
            lists: list[Sequence[Scalar]] = [other.class_names for other in self._other_catalogs]
        elif finding.fault.code == NOT_IN_LIST and finding.input is not None:
            specs = [other.classes.get(class_type) for other in self._other_catalogs]
            inputs = [spec.inputs.get(finding.input) for spec in specs if spec is not None]
            lists = [accepted.options for accepted in inputs if accepted is not None and accepted.options]
        else:
            lists = []
        return tuple(dict.fromkeys(chain(finding.fault.choices, *lists))) if lists else finding.fault.choices


def _build_field_error(
    finding: Finding, graph: Graph, other_catalogs: Sequence[Catalog], suggester: _Suggester
) -> FieldError:
    fault = finding.fault
    message, allowed = fault.message, fault.allowed
    if _is_on_other_node(finding, graph, other_catalogs):
        message, allowed = _describe_other_node(finding, graph), None
    elif fault.given_name is not None:
        choices, similar = suggester.suggest(finding)
        if fault.subject is not None:  # this node may have no choices, but another one
            message = describe_unlisted_choice(fault.subject, choices)
        if allowed is not None:
            allowed = tuple(choices) if len(choices) <= SHORT_LIST else None
        if similar:
            allowed = tuple(dict.fromkeys((*similar, *(allowed or ()))))
        message += _describe_choices(fault.code, choices, similar, allowed)
    return FieldError(
        pointer=build_pointer(finding),
        code=fault.code,
        message=message,
        node_id=finding.node_id,
        input=finding.input,
        allowed=allowed or None,
    )


def _describe_choices(
    code: str, choices: Sequence[Scalar], similar: Sequence[Scalar], allowed: Sequence[Scalar] | None
) -> str:
    """Describe the choices: all if they are short, otherwise the most similar ones and where to find the others."""
    names = [format_value(choice) for choice in allowed or ()]
    if len(names) == len(choices) and sum(map(len, names)) <= MAX_LISTED:
        return f" Valid: {', '.join(names)}." if names else ""
    similar_names = [format_value(choice) for choice in similar[:MAX_NAMES_IN_MESSAGE]]
    rest = len(choices) - len(similar_names)
    where = _LIST_ROUTES.get(code, "")
    if code == NOT_IN_LIST:
        where = MODELS_ROUTE if any(map(is_model_file_name, choices[:MAX_NAMES_IN_MESSAGE])) else CLASSES_ROUTE
    if not similar_names:
        return f" {where} lists all {rest}." if where else ""
    return f" Nearest: {', '.join(similar_names)}." + (f" {where} lists the {rest} others." if rest and where else "")


def _is_on_other_node(finding: Finding, graph: Graph, other_catalogs: Sequence[Catalog]) -> bool:
    """Whether another node has the class or option that this node lacks."""
    if finding.node_id is None:
        return False
    class_type = graph[finding.node_id].class_type
    if finding.fault.code == UNKNOWN_CLASS:
        return any(class_type in other.classes for other in other_catalogs)
    if finding.fault.code != NOT_IN_LIST or finding.input is None:
        return False
    value = graph[finding.node_id].inputs.get(finding.input)
    return any(other.may_accept_option(class_type, finding.input, value) for other in other_catalogs)


def _describe_other_node(finding: Finding, graph: Graph) -> str:
    class_type = make_printable(graph[finding.node_id or ""].class_type)
    what = f'The class "{class_type}"'
    if finding.input is not None:
        what = f"{class_type}.{finding.input} {format_value(graph[finding.node_id or ''].inputs[finding.input])}"
    return (
        f"{what} is on some ComfyUI servers of the fleet, but no server has everything that this workflow needs. Split "
        "the workflow."
    )


def build_pointer(finding: Finding) -> str:
    """Build the JSON Pointer of a finding into the submission."""
    path = ["workflow"]
    if finding.node_id is not None:
        path.append(finding.node_id)
        if finding.input is not None:
            path += ["inputs", finding.input]
        elif finding.fault.code in _CLASS_ERROR_CODES:
            path.append("class_type")
    return "".join("/" + escape_pointer_key(part) for part in path)
