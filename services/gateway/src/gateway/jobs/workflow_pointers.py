"""JSON Pointers into a workflow as it was sent, and its largest text."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from contracts.wire.errors import FieldError
from contracts.wire.text import escape_pointer_key
from gateway.workflows.submission_formats import WORKFLOW_POINTER


class TextInput(NamedTuple):
    """A text input of a node, and its size in bytes."""

    node_id: str
    input: str
    size: int


def build_input_pointer(graph_pointer: str, node_id: str, input_name: str) -> str:
    """Return the pointer to an input of a node; ``graph_pointer`` points to the graph."""
    return f"{graph_pointer}/{escape_pointer_key(node_id)}/inputs/{escape_pointer_key(input_name)}"


def relocate_errors(errors: Iterable[FieldError], graph_pointer: str) -> tuple[FieldError, ...]:
    """Return the errors with pointers into the body as it was sent, where the graph is at ``graph_pointer``."""
    if graph_pointer == WORKFLOW_POINTER:
        return tuple(errors)
    return tuple(
        error.model_copy(update={"pointer": graph_pointer + error.pointer.removeprefix(WORKFLOW_POINTER)})
        if error.pointer == WORKFLOW_POINTER or error.pointer.startswith(f"{WORKFLOW_POINTER}/")
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
