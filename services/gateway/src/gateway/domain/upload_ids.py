"""What in a graph looks like the id of an upload."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from contracts.wire.errors import FieldError
from contracts.workflow import is_ui_format

MOST = 100  # uploads that one job may name; a batch of frames has tens
LENGTH = 36

_WIDGETS = frozenset({"widgets_values", "widgets_values_named"})
_FORM = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def upload_ids(graph: Mapping[str, Any]) -> set[str]:
    """Every text that may be an upload's id: a UUID in lower case, alone in an input.

    For graphs without errors, and for files of the editor, where widgets hold what becomes an input.
    """
    values = _widget_values(graph) if is_ui_format(graph) else _input_values(graph)
    return {value for value in values if isinstance(value, str) and len(value) == LENGTH and _FORM.fullmatch(value)}


def _input_values(graph: Mapping[str, Any]) -> Iterator[Any]:
    for node in graph.values():
        yield from node["inputs"].values()


def _widget_values(part: Any) -> Iterator[Any]:
    """What the widgets of all nodes hold, also inside of subgraphs."""
    for key, value in part.items() if isinstance(part, Mapping) else ((None, one) for one in part):
        if key in _WIDGETS:
            yield from value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
        elif isinstance(value, dict | list):
            yield from _widget_values(value)


def too_many(count: int) -> FieldError:
    """What is wrong with a graph that names more than ``MOST``."""
    message = f"A workflow names at most {MOST} uploads; this one has {count} texts that look like their ids."
    return FieldError(pointer="/workflow", code="too_many_uploads", message=message)
