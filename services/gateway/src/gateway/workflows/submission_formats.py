"""Converts the formats in which clients send a submission to ``Submission``.

ComfyUI's clients, hosted services and exported files wrap a graph in different ways. If the intent is unambiguous, the
body is rewritten; otherwise one error says what to send.
"""

from typing import Any, NamedTuple, NoReturn

from contracts.gateway.submissions import Submission
from contracts.wire.errors import FieldError
from contracts.workflow import is_ui_format
from gateway.edge.errors import InvalidRequest, Malformed
from gateway.edge.json_body import parse_json, validate_model
from gateway.edge.json_faults import shorten_key

WORKFLOW_POINTER = "/workflow"  # pointer to the graph in a native submission
MAX_LABEL_NAME = 63  # characters of the name of a label
MAX_WRAPPERS = 4  # around one graph

_GRAPH_KEYS = ("prompt", "workflow", "output")  # keys that other programs use for a graph; "output" is the editor's
_COMFYUI_QUEUE_KEYS = ("prompt_id", "number", "front", "partial_execution_targets")
_MAX_NAMED = 3


class ParsedSubmission(NamedTuple):
    """A submission, and the JSON Pointer to its graph in the body."""

    submission: Submission
    workflow_pointer: str = WORKFLOW_POINTER


class LocatedGraph(NamedTuple):
    """A graph or an editor file, and the JSON Pointer to it in the body."""

    workflow: dict[str, Any]
    pointer: str


def parse_submission(body: Any) -> ParsedSubmission:
    """Return the submission in the JSON of a body. A field that is null counts as omitted.

    Raises:
        InvalidRequest: the body has another format, or is ambiguous.
    """
    fields, workflow_pointer = _normalize_body(body)
    return ParsedSubmission(validate_model(Submission, fields), workflow_pointer)


def unwrap_graph(value: Any, pointer: str) -> LocatedGraph | None:
    """Return the graph that a value is or wraps, also as JSON text; None for anything else.

    Args:
        value: value from the body.
        pointer: JSON Pointer to it.

    Raises:
        InvalidRequest: the text is not JSON, or the wrapper has more than a graph.
    """
    for _ in range(MAX_WRAPPERS):
        if isinstance(value, str):
            value = _parse_text(value, pointer)
        if not isinstance(value, dict) or is_workflow(value) or not value.keys() & set(_GRAPH_KEYS):
            break
        inner = _find_wrapper_key(value)
        if inner is None or not isinstance(value[inner], dict | str):
            break
        pointer = f"{pointer}/{inner}"
        value = value[inner]
    return LocatedGraph(value, pointer) if isinstance(value, dict) else None


def unwrap_workflow_field(body: Any) -> Any:
    """Return a body in the native form, with ``workflow`` replaced by the graph that it is or wraps.

    Raises:
        InvalidRequest: see ``unwrap_graph``.
    """
    if not isinstance(body, dict):
        return body
    found = unwrap_graph(body.get("workflow"), WORKFLOW_POINTER)
    return body if found is None else {**body, "workflow": found.workflow}


def is_workflow(value: Any) -> bool:
    """Whether this is unambiguously a graph in API format, or a file of ComfyUI's editor."""
    return is_ui_format(value) or (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(node, dict) for node in value.values())
        and any(map(_is_node, value.values()))
    )


def _normalize_body(body: Any) -> tuple[Any, str]:
    """Return the fields of a submission, and the pointer to its graph in the body."""
    value = _parse_text(body, "") if isinstance(body, str) else body  # a string can be JSON that was encoded twice
    return _normalize_object(value) if isinstance(value, dict) else (value, WORKFLOW_POINTER)


def _normalize_object(body: dict[str, Any]) -> tuple[dict[str, Any], str]:
    if is_ui_format(body) or (is_workflow(body) and all(map(_is_node, _list_values_of_native_fields(body)))):
        return {"workflow": body}, ""
    fields = _drop_nulls(body)
    if not fields.keys() & {"prompt", "workflow", "workflow_name"}:
        return _normalize_foreign_body(fields)
    if isinstance(fields.get("prompt"), dict):
        return _normalize_comfyui_body(fields)
    if "workflow" in fields and (found := unwrap_graph(fields["workflow"], WORKFLOW_POINTER)) is not None:
        return {**fields, "workflow": found.workflow}, found.pointer
    return fields, WORKFLOW_POINTER


def _normalize_foreign_body(fields: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Like ``_normalize_body``, for a body whose workflow is not under a native field name."""
    if isinstance(fields.get("input"), dict):
        return _normalize_runpod_body(fields)
    found = _find_editor_file_in_metadata(fields)
    if found is None:
        _refuse_loose_nodes(fields)
        return fields, WORKFLOW_POINTER
    kept = {name: value for name, value in fields.items() if name != "extra_pnginfo"}
    return {**kept, "workflow": found.workflow}, found.pointer


def _list_values_of_native_fields(body: dict[str, Any]) -> list[Any]:
    """Return the values under native field names; a graph can have nodes with these names."""
    return [body[name] for name in body.keys() & Submission.model_fields.keys()]


def _drop_nulls(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that are not null. Invalid names of labels and parameters stay, to be refused."""
    present = {name: value for name, value in fields.items() if value is not None}
    for name in ("labels", "parameters"):
        if isinstance(present.get(name), dict):
            present[name] = {
                key: value
                for key, value in present[name].items()
                if value is not None or not 0 < len(key) <= MAX_LABEL_NAME
            }
    return present


def _normalize_comfyui_body(fields: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the fields of a body that ComfyUI's clients post to ``/prompt``, where ``prompt`` is the graph."""
    queueing = [key for key in _COMFYUI_QUEUE_KEYS if key in fields]
    if queueing:
        message = (
            f"This API does not take fields of ComfyUI's own queue: {_quote_keys(queueing)}. Leave them out. "
            'Each job gets its id from this API, and "priority" orders your jobs.'
        )
        _refuse_submission(f"/{queueing[0]}", "comfyui_field", message)
    other_workflow = fields.get("workflow")
    if other_workflow is not None and not is_ui_format(other_workflow):
        message = 'The body has a graph as "prompt" and another one as "workflow". Send one of them, as "workflow".'
        _refuse_submission("/prompt", "two_workflows", message)
    found = unwrap_graph(fields["prompt"], "/prompt") or LocatedGraph(fields["prompt"], "/prompt")
    kept = {name: value for name, value in fields.items() if name not in {"prompt", "client_id"}}
    return {**kept, "workflow": found.workflow}, found.pointer


def _normalize_runpod_body(fields: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the fields of a body for RunPod's workers, which has everything in ``input``."""
    inner = _drop_nulls(fields["input"])
    more = [key for key in (*fields, *inner) if key not in {"input", *_GRAPH_KEYS}]
    found = unwrap_graph(inner, "/input") if not more else None
    if found is not None and is_workflow(found.workflow):
        return {"workflow": found.workflow}, found.pointer
    if is_workflow(inner):
        return {"workflow": inner}, "/input"
    message = 'Remove the wrapper "input" and send its content, such as {"workflow": {...}}.'
    if "images" in inner:
        message += " Upload images first (POST /api/v1/upload) and use their ids where the workflow takes a file."
    elif more:
        message += f" Leave out fields that this API does not support: {_quote_keys(more)}."
    return _refuse_submission("/input", "input_wrapper", message)


def _find_editor_file_in_metadata(fields: dict[str, Any]) -> LocatedGraph | None:
    """Return the editor file in the metadata of an image, if the body has no other workflow."""
    for path in (("extra_pnginfo", "workflow"), ("extra_data", "extra_pnginfo", "workflow")):
        value: Any = fields
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if is_ui_format(value):
            return LocatedGraph(value, "/" + "/".join(path))
    return None


def _refuse_loose_nodes(fields: dict[str, Any]) -> None:
    """Refuse nodes next to other fields, since the meaning of the other fields is ambiguous."""
    nodes = [key for key, value in fields.items() if _is_node(value)]
    others = [key for key in fields if key not in nodes]
    if not nodes:
        return
    example = next((f'"{shorten_key(key)}": ...' for key in others if key != "workflow"), "...")
    message = (
        f"The body has nodes of a workflow on one level with other fields: {_quote_keys(others)}. Move the "
        'nodes into a field "workflow", and leave the rest beside it: '
        f'{{"workflow": {{"{shorten_key(nodes[0])}": {{...}}}}, {example}}}.'
    )
    _refuse_submission("", "nodes_not_wrapped", message)


def _find_wrapper_key(value: dict[str, Any]) -> str | None:
    """Return the key of the graph in a wrapper; None if the value is not a wrapper.

    The metadata of an image has the workflow as a graph and as an editor file: the graph is used.
    """
    wrappers = [key for key in _GRAPH_KEYS if isinstance(value.get(key), dict | str)]
    graphs = [key for key in wrappers if not is_ui_format(value[key])]
    rest = value.keys() - {*_GRAPH_KEYS, "client_id", "extra_data", "extra_pnginfo"}
    if not wrappers or rest or len(graphs) > 1:
        return None
    return (graphs or wrappers)[0]


def _parse_text(text: str, pointer: str) -> Any:
    """Return the JSON value in a text; the text itself if it does not look like JSON."""
    if not text.lstrip("\ufeff \t\r\n").startswith(("{", "[")):
        return text
    try:
        return parse_json(text.encode("utf-8", "surrogatepass"))
    except Malformed as malformed:
        first_error = malformed.details.errors[0]
        message = f"This text looks like a workflow as JSON, but cannot be read. {first_error.message}"
        _refuse_submission(pointer, first_error.code, message)


def _is_node(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("class_type"), str)


def _quote_keys(keys: list[str]) -> str:
    """Return some of the keys, quoted."""
    named = ", ".join(f'"{shorten_key(key)}"' for key in keys[:_MAX_NAMED])
    return named if len(keys) <= _MAX_NAMED else f"{named} and {len(keys) - _MAX_NAMED} more"


def _refuse_submission(pointer: str, code: str, message: str) -> NoReturn:
    raise InvalidRequest(errors=(FieldError(pointer=pointer, code=code, message=message),)) from None
