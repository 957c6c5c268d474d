"""Types of the JSON messages, and the clock for their timestamps."""

import time
from typing import Any, TypeAlias

Document: TypeAlias = dict[str, Any]
"""A JSON object."""

Workflow: TypeAlias = dict[str, Document]
"""A graph in ComfyUI's API format: node id -> {class_type, inputs, _meta?}."""

QueueItem: TypeAlias = tuple[Any, ...]
"""(number, prompt_id, prompt, extra_data, outputs_to_execute[, sensitive]): plain tuples, because ComfyUI orders its
heap by comparing them element by element, and what that breaks is part of the contract."""


def now_ms() -> int:
    """Return milliseconds since the epoch, as in ComfyUI's events."""
    return int(time.time() * 1000)
