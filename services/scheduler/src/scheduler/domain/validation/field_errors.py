"""Turns findings into errors for the sender, with similar names and hints about other nodes."""

from collections.abc import Sequence

from contracts.catalog import Scalar
from contracts.wire.errors import FieldError
from contracts.wire.show_values import printable, show
from contracts.workflow import Graph, is_model
from scheduler.domain.catalog import Catalog
from scheduler.domain.validation.findings import Finding, GraphFault
from scheduler.domain.validation.graph_check import MAX_LISTED, UNKNOWN_CLASS
from scheduler.domain.validation.suggestions import find_similar_names, sort_similar_first
from scheduler.domain.validation.values import NOT_IN_LIST

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

    Looks up similar names for at most ``MAX_SUGGESTED`` names, which takes milliseconds each.

    Args:
        findings: findings of the node that comes closest to accepting the graph.
        graph: the graph that was checked.
        other_catalogs: catalogs of the other nodes.
    """
    similar_by_name: dict[tuple[str, int], tuple[Scalar, ...]] = {}
    errors = (_build_field_error(finding, graph, other_catalogs, similar_by_name) for finding in findings)
    return tuple(
        error
        if number < MAX_ERRORS_WITH_CHOICES or error.allowed is None
        else error.model_copy(update={"allowed": None})
        for number, error in enumerate(errors)
    )


def _build_field_error(
    finding: Finding,
    graph: Graph,
    other_catalogs: Sequence[Catalog],
    similar_by_name: dict[tuple[str, int], tuple[Scalar, ...]],
) -> FieldError:
    fault = finding.fault
    message, allowed = fault.message, fault.allowed
    if _is_on_other_node(finding, graph, other_catalogs):
        message, allowed = _describe_other_node(finding, graph), None
    elif fault.given_name is not None:
        key = (fault.given_name, id(fault.choices))
        if key not in similar_by_name and len(similar_by_name) < MAX_SUGGESTED:
            similar_by_name[key] = find_similar_names(fault.given_name, fault.choices)
        similar = similar_by_name.get(key, ())
        if similar:
            allowed = similar if allowed is None else sort_similar_first(fault.given_name, allowed)
        message += _describe_choices(fault, similar, allowed)
    return FieldError(
        pointer=build_pointer(finding),
        code=fault.code,
        message=message,
        node_id=finding.node_id,
        input=finding.input,
        allowed=allowed or None,
    )


def _describe_choices(fault: GraphFault, similar: Sequence[Scalar], allowed: Sequence[Scalar] | None) -> str:
    """Describe the choices: all if they are short, otherwise the most similar ones and where to find the others."""
    names = [show(choice) for choice in allowed or ()]
    if len(names) == len(fault.choices) and sum(map(len, names)) <= MAX_LISTED:
        return f" Valid: {', '.join(names)}." if names else ""
    similar_names = [show(choice) for choice in similar[:MAX_NAMES_IN_MESSAGE]]
    rest = len(fault.choices) - len(similar_names)
    where = _LIST_ROUTES.get(fault.code, "")
    if fault.code == NOT_IN_LIST:
        where = MODELS_ROUTE if any(map(is_model, fault.choices[:MAX_NAMES_IN_MESSAGE])) else CLASSES_ROUTE
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
    return any(other.satisfies([f"{class_type}.{finding.input}={value}"]) for other in other_catalogs)


def _describe_other_node(finding: Finding, graph: Graph) -> str:
    class_type = printable(graph[finding.node_id or ""].class_type)
    what = f'The class "{class_type}"'
    if finding.input is not None:
        what = f"{class_type}.{finding.input} {show(graph[finding.node_id or ''].inputs[finding.input])}"
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
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)
