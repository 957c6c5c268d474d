"""Locations in a workflow as it was sent."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from contracts.wire.errors import FieldError
from gateway.workflows.submission_forms import WORKFLOW_AT


class TextInput(NamedTuple):
    """A text input of a node, and its size in bytes."""

    node_id: str
    input: str
    size: int


def relocate_errors(errors: Iterable[FieldError], at: str) -> tuple[FieldError, ...]:
    """Return the errors with pointers into the body as it was sent, where the graph is at ``at``."""
    if at == WORKFLOW_AT:
        return tuple(errors)
    return tuple(
        error.model_copy(update={"pointer": at + error.pointer.removeprefix(WORKFLOW_AT)})
        if error.pointer == WORKFLOW_AT or error.pointer.startswith(f"{WORKFLOW_AT}/")
        else error
        for error in errors
    )


def find_longest_text(workflow: Mapping[str, Any]) -> TextInput | None:
    """Return the largest text among the inputs of a graph in API format."""
    found: TextInput | None = None
    for node_id, node in workflow.items():
        inputs = node.get("inputs") if isinstance(node, dict) else None
        for name, value in inputs.items() if isinstance(inputs, dict) else ():
            if isinstance(value, str) and (found is None or len(value) > found.size):
                found = TextInput(node_id, name, len(value))
    return found and found._replace(size=len(workflow[found.node_id]["inputs"][found.input].encode()))
