"""Small texts and JSON values go with the record of a job, so that nobody has to fetch them one by one."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from contracts.scheduler.outputs import Output, OutputSource
from contracts.wire.text import is_clean
from executor.domain.harvest import JSON_TYPE, Found

MAX_INLINE_BYTES = 4 << 10  # of one value
MAX_JOB_BYTES = 32 << 10  # of all values of a job: a list of 100 jobs stays within a message
MAX_DEPTH = 10
MAX_NUMBER = (1 << 53) - 1  # beyond it JavaScript loses digits, and some JSON writers refuse


def inline_value(item: Found) -> Any:
    """The value that an output is, if a record can hold it; else None."""
    if item.source is not OutputSource.VALUE or item.content is None or len(item.content) > MAX_INLINE_BYTES:
        return None
    try:
        value = json.loads(item.content) if item.content_type == JSON_TYPE else item.content.decode()
    except RecursionError:
        return None
    return value if _is_plain(value, MAX_DEPTH) else None


def within_bounds(outputs: Iterable[Output]) -> tuple[Output, ...]:
    """The outputs without the values that the record of the job has no room for; their bytes are stored in any case."""
    kept, left = list[Output](), MAX_JOB_BYTES
    for output in outputs:
        if output.value is None:
            kept.append(output)
        elif output.size_bytes <= left:
            kept.append(output)
            left -= output.size_bytes
        else:
            kept.append(output.model_copy(update={"value": None}))
    return tuple(kept)


def _is_plain(value: Any, depth: int) -> bool:
    """Whether every service and database can hold it: no control characters, no huge integers, not deep."""
    if isinstance(value, str):
        return is_clean(value)
    if isinstance(value, int | float):
        return abs(value) <= MAX_NUMBER
    if isinstance(value, Mapping):
        return depth > 0 and all(is_clean(key) and _is_plain(inner, depth - 1) for key, inner in value.items())
    if isinstance(value, list):
        return depth > 0 and all(_is_plain(inner, depth - 1) for inner in value)
    return True
