"""Computes the fingerprint of a workflow: equal for workflows whose run times are comparable. Pure: no I/O.

It covers the classes of the nodes and how they are linked, models, samplers, and the values that decide how long a node
runs, such as sizes and steps. It covers no text, seeds, file names of uploads, or ids of nodes. It is computed for
every submission, so it takes only about as long as reading the graph once.
"""

import math
from hashlib import blake2b
from typing import Any

from contracts.workflow import MODEL_SUFFIXES, Graph

# Number inputs that decide the run time. Others, such as seeds and strengths, have little or no influence.
COSTLY_NUMBERS = frozenset({
    "batch_size", "amount", "repeat_amount", "num_images",
    "width", "height", "resolution", "megapixels", "scale_by", "upscale_by", "tile_size", "tile_width", "tile_height",
    "steps", "start_at_step", "end_at_step", "denoise",
    "length", "num_frames", "frames", "frame_count", "frame_rate", "fps", "seconds", "duration", "max_length",
    "max_new_tokens",
})  # fmt: skip
COSTLY_TEXTS = frozenset({"sampler_name", "scheduler", "upscale_method", "weight_dtype", "device", "precision"})
STEPS_PER_DOUBLING = 8  # numbers within about 9 % of each other are equal
MAX_LABEL = 300  # characters; a longer label is replaced by its hash, because each link repeats one
_LINK_PARTS = 2


def compute_fingerprint(graph: Graph) -> int:
    """Return the fingerprint as a signed 64-bit integer. Run time is roughly linear in nodes and links."""
    labels = {node_id: _label_node(node.class_type, node.inputs) for node_id, node in graph.items()}
    lines = []
    for node_id, node in graph.items():
        links = [
            f"\x01{name}\x00{value[1]}\x00{labels[value[0]]}"
            for name, value in node.inputs.items()
            if type(value) is list and len(value) == _LINK_PARTS and type(value[0]) is str and value[0] in labels
        ]
        links.sort()
        lines.append(labels[node_id] + "".join(links))
    lines.sort()
    return int.from_bytes(_hash_text("\x02".join(lines)), "big", signed=True)


def _label_node(class_type: str, inputs: dict[str, Any]) -> str:
    """Return what the fingerprint covers of a node without its links."""
    parts = []
    for name, value in inputs.items():
        kind = type(value)
        if kind is int or kind is float:
            if name in COSTLY_NUMBERS:
                parts.append(f"\x00{name}={_round_number(value)}")
        elif (kind is str and (name in COSTLY_TEXTS or value.endswith(MODEL_SUFFIXES))) or kind is bool:
            parts.append(f"\x00{name}={value}")
    parts.sort()
    label = class_type + "".join(parts)
    return label if len(label) <= MAX_LABEL else _hash_text(label).hex()


def _round_number(value: float) -> int:
    """Round a number to a step of a logarithmic scale; numbers from 0 down are equal."""
    return round(math.log2(value) * STEPS_PER_DOUBLING) if 0 < value < math.inf else -1_000_000


def _hash_text(text: str) -> bytes:
    return blake2b(text.encode(errors="replace"), digest_size=8).digest()
