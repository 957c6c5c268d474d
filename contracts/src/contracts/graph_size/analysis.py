"""Computes upper bounds of the outputs of each node in one pass over a graph.

Linear in nodes and links, without recursion. Bounds are never below what stock classes produce. For an unknown class
the largest input is passed on, and inputs with the usual names (width, height, batch_size, length, ...) set sizes.
``docs/decisions/0030-graph-cost-analysis.md`` lists the approximations.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from contracts.catalog import ClassSpec
from contracts.graph_size import image_classes, texts
from contracts.graph_size.node import (
    MAX_BATCH,
    MAX_LENGTH,
    MAX_SIDE,
    MAX_STEPS,
    TYPICAL_SIDE,
    KnownBounds,
    NodeInputs,
    Outputs,
    UnresolvedInput,
    count_utf8_bytes,
)
from contracts.graph_size.size import EMPTY, MAX_BOUND, STILL, Size, clamp_bound
from contracts.workflow import Graph, is_link, is_topologically_sorted

WIDTH_INPUTS = ("width", "target_width", "output_width", "final_width", "image_width")
HEIGHT_INPUTS = ("height", "target_height", "output_height", "final_height", "image_height")
FRAME_COUNT_INPUTS = ("length", "frames", "num_frames", "video_frames", "frame_count", "frames_number")
NO_IMAGES = frozenset(
    {
        "AUDIO", "AUDIO_ENCODER", "BOOLEAN", "CLIP", "CLIP_VISION", "CLIP_VISION_OUTPUT", "COMBO", "CONDITIONING",
        "CONTROL_NET", "FLOAT", "GLIGEN", "GUIDER", "HOOKS", "INT", "LORA_MODEL", "MODEL", "MODEL_PATCH", "NOISE",
        "SAMPLER", "SIGMAS", "STRING", "STYLE_MODEL", "UPSCALE_MODEL", "VAE", "LATENT_UPSCALE_MODEL", "INTERP_MODEL",
    }
)  # fmt: skip
"""Types of values without images. A class that outputs only these outputs no images."""
IMAGELESS_CLASS_PREFIXES = (
    "CheckpointLoader", "UNETLoader", "CLIPLoader", "VAELoader", "CLIPTextEncode", "Conditioning", "LoraLoader",
)  # fmt: skip
SCHEDULER_SUFFIX = "Scheduler"  # name suffix of classes that output sigmas

_RULES: Mapping[str, Callable[[NodeInputs], Outputs]] = {**texts.RULES, **image_classes.RULES}


@dataclass(frozen=True, slots=True)
class Sampling:
    """Upper bounds of one sampler.

    Attributes:
        input: name of the input that sets the steps.
        pixel_steps: pixels times images times steps.
    """

    node_id: str
    input: str
    steps: int
    pixel_steps: int


@dataclass(frozen=True, slots=True)
class GraphSize:
    """Upper bounds of a graph.

    Attributes:
        outputs: bounds of every node's outputs.
        samplings: bounds of every node that takes steps.
        text_bytes: UTF-8 bytes of text in all inputs, after values were passed along links.
        longest_text_node: id of the node with the most text in its inputs.
        unknown: sizes that come by a link and cannot be computed before the run.
    """

    graph: Graph
    specs: Mapping[str, ClassSpec]
    outputs: Mapping[str, Outputs]
    samplings: tuple[Sampling, ...]
    text_bytes: int
    longest_text_node: str
    unknown: tuple[UnresolvedInput, ...]

    def largest_output(self, node_id: str) -> Size:
        """Return the largest output of one node."""
        found = self.outputs[node_id]
        return found if isinstance(found, Size) else max(found, key=lambda size: (size.total * size.pixels, size.total))


def measure_graph(
    graph: Graph,
    *,
    specs: Mapping[str, ClassSpec] | None = None,
    uploads: Mapping[str, tuple[int, int]] | None = None,
) -> GraphSize:
    """Compute upper bounds of the outputs of a graph that satisfies ``has_valid_links``.

    Args:
        specs: classes of the fleet.
        uploads: width and height of uploaded images, by the id in the graph.
    """
    sources = KnownBounds(specs or {}, uploads or {})
    samplings: list[Sampling] = []
    text_bytes, most_text, longest_text_node = 0, -1, ""
    for node_id in _topological_order(graph):
        node = NodeInputs(node_id, graph[node_id], sources)
        rule = _RULES.get(node.class_type, _bound_by_usual_inputs)
        outputs = rule(node)
        if "steps" in node.raw or node.class_type in _STEPS:
            outputs = _add_steps(node, outputs, samplings)
        sources.store(node_id, outputs)
        node_text = _count_input_text(node)
        text_bytes = min(text_bytes + node_text, MAX_BOUND)
        if node_text > most_text:
            most_text, longest_text_node = node_text, node_id
    return GraphSize(graph, sources.specs, sources.outputs, tuple(samplings), text_bytes, longest_text_node,
                     tuple(sources.unknown))  # fmt: skip


def _topological_order(graph: Graph) -> Iterator[str]:
    """Yield the nodes in topological order (Kahn's algorithm)."""
    if is_topologically_sorted(graph):
        yield from graph
        return
    missing_sources: dict[str, int] = {}
    dependents: dict[str, list[str]] = {}
    ready: deque[str] = deque()
    for node_id, node in graph.items():
        sources = {value[0] for value in node.inputs.values() if is_link(value)}
        missing_sources[node_id] = len(sources)
        for source in sources:
            dependents.setdefault(source, []).append(node_id)
        if not sources:
            ready.append(node_id)
    while ready:
        node_id = ready.popleft()
        yield node_id
        for dependent in dependents.get(node_id, ()):
            missing_sources[dependent] -= 1
            if not missing_sources[dependent]:
                ready.append(dependent)


def _bound_by_usual_inputs(node: NodeInputs) -> Outputs:
    """Return an upper bound of the outputs of a class without a rule.

    It is the largest input, or the size that inputs with the usual names set, if that is larger.
    """
    raw, distinct = node.raw, node.distinct_sizes
    text = node.text_bytes() if "text" in raw or any(size.text for size in distinct) else 0
    steps = max([size.steps for size in distinct], default=0)
    if not _may_hold_images(node):
        return EMPTY._replace(items=node.runs, text=clamp_bound(text), steps=steps)
    images = _bound_usual_images(node)
    return images._replace(text=clamp_bound(text), steps=steps) if text or steps else images


def _bound_usual_images(node: NodeInputs) -> Size:
    """Return an upper bound of the size of images of a class without a rule, from inputs with the usual names."""
    raw, media = node.raw, node.any_image
    batch = max(node.max_number("batch_size", 1, MAX_BATCH, counts=True), 1) if "batch_size" in raw else 1
    frames = max(
        [node.max_number(name, 1, MAX_LENGTH, counts=True) for name in FRAME_COUNT_INPUTS if name in raw], default=1
    )
    amount = max(node.max_number("amount", 1, MAX_BATCH, counts=True), 1) if "amount" in raw else 1
    width = max([node.max_number(name, 1, MAX_SIDE) for name in WIDTH_INPUTS if name in raw], default=0)
    height = max([node.max_number(name, 1, MAX_SIDE) for name in HEIGHT_INPUTS if name in raw], default=0)
    if not media.batch:
        side = 0 if width or height else TYPICAL_SIDE
        return node.new_images(max(width, side), max(height, side), batch * max(frames, 1) * amount)
    if amount > 1:
        media = media.multiply_count(amount)
    if batch * frames > 1:
        count = max(media.batch, clamp_bound(batch * frames))
        media = media._replace(batch=count, total=max(media.total, clamp_bound(count * media.items)), medium=STILL)
    if width > media.width or height > media.height:
        media = media.resized(max(width, media.width), max(height, media.height), ratio=max(media.ratio, MAX_SIDE))
    return media


def _may_hold_images(node: NodeInputs) -> bool:
    """Whether an output may contain images. Classes that only output models, text or numbers contain none."""
    spec = node.spec
    if spec is None:
        return not node.class_type.startswith(IMAGELESS_CLASS_PREFIXES) and not node.class_type.endswith(
            SCHEDULER_SUFFIX
        )
    return (bool(spec.outputs) and not NO_IMAGES.issuperset(spec.outputs)) or (
        not spec.outputs and bool(node.linked_sizes)
    )


def _count_input_text(node: NodeInputs) -> int:
    """Return the bytes of text in a node's inputs, over all its runs."""
    linked = (
        sum([size.text * size.items for size in node.linked_sizes])
        if any(size.text for size in node.distinct_sizes)
        else 0
    )
    own = 0
    for value in node.raw.values():
        kind = type(value)
        if kind is str:
            own += count_utf8_bytes(value)
        elif kind is dict or (kind is list and not is_link(value)):
            own += _count_nested_text_bytes(value)
    return clamp_bound(linked + own)


def _count_nested_text_bytes(value: Any) -> int:
    """Return the UTF-8 bytes of all strings and keys in a value."""
    total, todo = 0, [value]
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            total += count_utf8_bytes(item)
        elif isinstance(item, dict):
            todo += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            todo += item
    return total


def _add_steps(node: NodeInputs, outputs: Outputs, samplings: list[Sampling]) -> Outputs:
    """Count the steps of a sampler, or pass them on if the node outputs sigmas."""
    bound_steps = _STEPS.get(node.class_type, _bound_usual_steps)
    name, steps = bound_steps(node)
    first = outputs if isinstance(outputs, Size) else outputs[0]
    if node.class_type in _SAMPLERS or (first.is_media and node.class_type not in _SCHEDULERS):
        latent = node.first_linked("latent_image", "latent", "samples")
        latent = latent if latent.is_media else first
        samplings.append(Sampling(node.node_id, name, steps, clamp_bound(steps * latent.pixels * latent.total)))
        return outputs
    if isinstance(outputs, Size):
        return outputs._replace(steps=steps)
    return tuple(size._replace(steps=steps) for size in outputs)


def _bound_usual_steps(node: NodeInputs) -> tuple[str, int]:
    return "steps", clamp_bound(node.max_number("steps", 20, MAX_STEPS))


def _bound_sigmas(node: NodeInputs) -> tuple[str, int]:
    return "sigmas", node.first_linked("sigmas").steps


def _bound_extended_sigmas(node: NodeInputs) -> tuple[str, int]:
    """Return an upper bound of the steps after a node that multiplies the number of sigmas by inserting some."""
    return "steps", clamp_bound(node.first_linked("sigmas").steps * max(node.max_number("steps", 2, 100), 1))


def _bound_literal_sigmas(node: NodeInputs) -> tuple[str, int]:
    """Return an upper bound of the number of sigmas in a text, separated by commas or spaces."""
    return "sigmas", clamp_bound(node.text_bytes("sigmas") // 2 + 1)


_SAMPLERS = frozenset({"KSampler", "KSamplerAdvanced", "SamplerCustom", "SamplerCustomAdvanced", "TrainLoraNode"})
_SCHEDULERS = frozenset({"ExtendIntermediateSigmas", "ManualSigmas", "SaveLoRA", "SaveLoRANode"})
_STEPS: dict[str, Callable[[NodeInputs], tuple[str, int]]] = {
    "SamplerCustom": _bound_sigmas,
    "SamplerCustomAdvanced": _bound_sigmas,
    "ExtendIntermediateSigmas": _bound_extended_sigmas,
    "ManualSigmas": _bound_literal_sigmas,
}
