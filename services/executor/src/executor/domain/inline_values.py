"""Selects small texts and JSON values for the job record, so that clients need not download each one."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from contracts.scheduler.outputs import Output, OutputSource
from contracts.wire.text import is_clean_text
from executor.domain.collect_outputs import JSON_TYPE, FoundOutput

MAX_INLINE_BYTES = 4 << 10  # bytes of one value
MAX_JOB_BYTES = 32 << 10  # bytes of all values of a job: a list of 100 jobs fits into a NATS message
MAX_DEPTH = 10
MAX_NUMBER = (1 << 53) - 1  # larger integers lose digits in JavaScript


def extract_inline_value(item: FoundOutput) -> Any:
    """Return the value of an output; None if it is a file, or too large or unsuitable for the job record."""
    if item.source is not OutputSource.VALUE or item.content is None or len(item.content) > MAX_INLINE_BYTES:
        return None
    try:
        value = json.loads(item.content) if item.content_type == JSON_TYPE else item.content.decode()
    except RecursionError:
        return None
    return value if _is_storable(value, MAX_DEPTH) else None


def limit_inline_values(outputs: Iterable[Output]) -> tuple[Output, ...]:
    """Return the outputs without inlined values that exceed the total limit. Their bytes are stored as files anyway."""
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


def _is_storable(value: Any, depth: int) -> bool:
    """Whether every service and database can hold it: no control characters, no huge integers, bounded depth."""
    if isinstance(value, str):
        return is_clean_text(value)
    if isinstance(value, int | float):
        return abs(value) <= MAX_NUMBER
    if isinstance(value, Mapping):
        return depth > 0 and all(is_clean_text(key) and _is_storable(inner, depth - 1) for key, inner in value.items())
    if isinstance(value, list):
        return depth > 0 and all(_is_storable(inner, depth - 1) for inner in value)
    return True
