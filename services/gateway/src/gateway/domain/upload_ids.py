"""What in a graph looks like the id of an upload."""

import re
from collections.abc import Mapping
from typing import Any

from contracts.wire.errors import FieldError

MOST = 100  # uploads that one job may name; a batch of frames has tens
LENGTH = 36

_FORM = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def upload_ids(graph: Mapping[str, Any]) -> set[str]:
    """Every text that may be an upload's id: a UUID in lower case, alone in an input. For graphs without errors."""
    return {
        value
        for node in graph.values()
        for value in node["inputs"].values()
        if isinstance(value, str) and len(value) == LENGTH and _FORM.fullmatch(value)
    }


def too_many(count: int) -> FieldError:
    """What is wrong with a graph that names more than ``MOST``."""
    message = f"A workflow names at most {MOST} uploads; this one has {count} texts that look like their ids."
    return FieldError(pointer="/workflow", code="too_many_uploads", message=message)
