"""Finds ids of uploads and references to outputs (``output:<id>``) in graphs."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from contracts.gateway.submissions import OUTPUT_PREFIX
from contracts.wire.errors import FieldError
from contracts.workflow import is_ui_format

MAX_UPLOADS = 100  # uploads of one job; a batch of frames has tens
UUID_LENGTH = 36
REFERENCE_LENGTH = len(OUTPUT_PREFIX) + UUID_LENGTH

_WIDGETS = frozenset({"widgets_values", "widgets_values_named"})
_ID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_UPLOAD, _OUTPUT = re.compile(_ID), re.compile(OUTPUT_PREFIX + _ID)


def find_upload_ids(graph: Mapping[str, Any]) -> set[str]:
    """Return every text that can be an upload's id: a lowercase UUID as an input or as a field of an input.

    The graph is valid, or is a file of the editor, whose widget values become inputs.
    """
    return {text for text in _iterate_texts(graph) if is_upload_id(text)}


def find_output_references(graph: Mapping[str, Any]) -> set[str]:
    """Return every output reference (``output:<id>``), in the places where ``find_upload_ids`` looks."""
    return {text for text in _iterate_texts(graph) if is_output_reference(text)}


def is_upload_id(text: str) -> bool:
    """Whether the text has the format of an upload id (a lowercase UUID)."""
    return len(text) == UUID_LENGTH and _UPLOAD.fullmatch(text) is not None


def is_output_reference(text: str) -> bool:
    """Whether the text has the format of an output reference (``output:<uuid>``)."""
    return len(text) == REFERENCE_LENGTH and _OUTPUT.fullmatch(text) is not None


def replace_output_references(graph: Mapping[str, Any], uploads: Mapping[str, str]) -> dict[str, Any]:
    """Return the graph or editor file, with these references to outputs replaced by ids of uploads."""
    if is_ui_format(graph):
        return {key: _replace_references_in_widgets(key, part, uploads) for key, part in graph.items()}
    return {
        node_id: {
            **node,
            "inputs": {name: _replace_references(value, uploads) for name, value in node["inputs"].items()},
        }
        for node_id, node in graph.items()
    }


def _replace_references(value: Any, uploads: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return uploads.get(value, value)
    if isinstance(value, dict):
        return {part: uploads.get(inner, inner) if isinstance(inner, str) else inner for part, inner in value.items()}
    return value


def _replace_references_in_widgets(key: str | None, part: Any, uploads: Mapping[str, str]) -> Any:
    """Return a part of an editor file with references replaced in the widgets of its nodes, also in subgraphs."""
    if key in _WIDGETS and isinstance(part, dict | list):
        values = part.items() if isinstance(part, dict) else enumerate(part)
        replaced = {name: _replace_references(value, uploads) for name, value in values}
        return replaced if isinstance(part, dict) else list(replaced.values())
    if isinstance(part, dict):
        return {name: _replace_references_in_widgets(name, inner, uploads) for name, inner in part.items()}
    if isinstance(part, list):
        return [_replace_references_in_widgets(None, inner, uploads) for inner in part]
    return part


def build_too_many_error(count: int) -> FieldError:
    """Return the error of a graph that refers to more than ``MAX_UPLOADS`` uploads."""
    message = (
        f"A workflow can use at most {MAX_UPLOADS} uploads; this one has {count} texts that look like ids of uploads."
    )
    return FieldError(pointer="/workflow", code="too_many_uploads", message=message)


def _iterate_texts(graph: Mapping[str, Any]) -> Iterator[str]:
    """Yield texts of inputs or widgets, and of the fields of those that are objects (``Load3D.image``)."""
    for value in _iterate_widget_values(graph) if is_ui_format(graph) else _iterate_input_values(graph):
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            yield from (inner for inner in value.values() if isinstance(inner, str))


def _iterate_input_values(graph: Mapping[str, Any]) -> Iterator[Any]:
    for node in graph.values():
        yield from node["inputs"].values()


def _iterate_widget_values(part: Any) -> Iterator[Any]:
    """Yield the widget values of all nodes, also in subgraphs."""
    for key, value in part.items() if isinstance(part, Mapping) else ((None, item) for item in part):
        if key in _WIDGETS:
            yield from value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
        elif isinstance(value, dict | list):
            yield from _iterate_widget_values(value)
