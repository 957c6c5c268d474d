"""What in a graph looks like the id of an upload, or like a reference to an output (``output:<id>``)."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from contracts.gateway import OUTPUT_PREFIX
from contracts.wire.errors import FieldError

MOST = 100  # uploads that one job may name; a batch of frames has tens
LENGTH = 36
REFERENCE_LENGTH = len(OUTPUT_PREFIX) + LENGTH

_ID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_UPLOAD, _OUTPUT = re.compile(_ID), re.compile(OUTPUT_PREFIX + _ID)


def upload_ids(graph: Mapping[str, Any]) -> set[str]:
    """Every text that may be an upload's id: a UUID in lower case, alone in an input or in a part of one.

    For graphs without errors.
    """
    return {text for text in _texts(graph) if is_upload_id(text)}


def output_references(graph: Mapping[str, Any]) -> set[str]:
    """Every text that may refer to an output, in the same places."""
    return {text for text in _texts(graph) if is_output_reference(text)}


def is_upload_id(text: str) -> bool:
    """Whether this is how an upload's id is written."""
    return len(text) == LENGTH and _UPLOAD.fullmatch(text) is not None


def is_output_reference(text: str) -> bool:
    """Whether this is how a reference to an output is written."""
    return len(text) == REFERENCE_LENGTH and _OUTPUT.fullmatch(text) is not None


def with_uploads(graph: Mapping[str, Any], uploads: Mapping[str, str]) -> dict[str, Any]:
    """The graph with ids of uploads where it refers to these outputs."""

    def named(value: Any) -> Any:
        if isinstance(value, str):
            return uploads.get(value, value)
        if isinstance(value, dict):
            return {
                part: uploads.get(inner, inner) if isinstance(inner, str) else inner for part, inner in value.items()
            }
        return value

    return {
        node_id: {**node, "inputs": {name: named(value) for name, value in node["inputs"].items()}}
        for node_id, node in graph.items()
    }


def too_many(count: int) -> FieldError:
    """What is wrong with a graph that names more than ``MOST``."""
    message = f"A workflow names at most {MOST} uploads; this one has {count} texts that look like their ids."
    return FieldError(pointer="/workflow", code="too_many_uploads", message=message)


def _texts(graph: Mapping[str, Any]) -> Iterator[str]:
    """Texts of inputs, and of the parts of inputs that are objects (``Load3D.image``)."""
    for node in graph.values():
        for value in node["inputs"].values():
            if isinstance(value, str):
                yield value
            elif isinstance(value, dict):
                yield from (inner for inner in value.values() if isinstance(inner, str))
