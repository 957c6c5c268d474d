"""Validation results of a node and of admission in a common format."""

from typing import Any, NamedTuple

from contracts.workflow import read_graph
from scheduler.domain.catalog import Catalog
from scheduler.domain.validation.graph_check import check_graph
from tests.differential.bases import Workflow

CLASS_ERRORS = frozenset({"missing_node_type", "invalid_prompt"})
BREAKDOWNS = frozenset({"exception_during_validation", "exception_during_inner_validation"})

Place = tuple[str, str | None]  # node id and input; None for the whole node


class Judgement(NamedTuple):
    """A validation result; accepted if ``kinds`` is empty.

    Attributes:
        kinds: ComfyUI's error types or our error codes.
        places: nodes and inputs at fault, if known.
    """

    kinds: frozenset[str]
    places: frozenset[Place]


def judge_node_response(status: int, body: Any) -> Judgement:
    """Convert a node's response to ``POST /prompt``. If only some outputs are valid, it counts as refused."""
    if status not in {200, 400}:
        return Judgement(frozenset({f"status {status}"}), frozenset())
    errors = [(node_id, error) for node_id, entry in body.get("node_errors", {}).items() for error in entry["errors"]]
    kinds = {error["type"] for _, error in errors}
    places: set[Place] = {
        (node_id, error["extra_info"].get("input_name")) for node_id, error in errors if error["type"] not in BREAKDOWNS
    }
    top = body.get("error")
    if status == 400 and (not errors or top["type"] in CLASS_ERRORS):
        kinds.add(top["type"])
    if status == 400 and top["type"] in CLASS_ERRORS:
        places.add((top["details"].split("#")[1].rstrip("'"), None))
    return Judgement(frozenset(kinds), frozenset(places))


def judge_admission(workflow: Workflow, catalog: Catalog) -> Judgement:
    """Convert the errors of admission, without the graph policy."""
    graph, errors = read_graph(workflow)
    if errors:
        return Judgement(frozenset(error.code for error in errors), frozenset())
    verdict = check_graph(graph, catalog, draw_seed=lambda _: 0)
    return Judgement(
        frozenset(finding.fault.code for finding in verdict.findings),
        frozenset((finding.node_id, finding.input) for finding in verdict.findings if finding.node_id is not None),
    )
