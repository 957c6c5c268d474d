"""Names for the JSON shapes that travel, and the clock they are stamped with."""

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
    """Milliseconds since the epoch, as ComfyUI stamps its events."""
    return int(time.time() * 1000)
