"""Compares the bounds of random graphs with a reference that computes what ComfyUI produces, list by list."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.graph_size.analysis import measure_graph
from contracts.graph_size.image_quota import compute_reservation
from contracts.graph_size.size import Size
from contracts.workflow import read_graph

SMALL = st.integers(1, 6)
MOST_IMAGES = 3_000  # maximum per node of the reference; larger graphs are skipped


@dataclass(frozen=True)
class Batch:
    """Images of one size."""

    width: int
    height: int
    count: int


Value = list[Any]
"""What one output carries: a list of batches or of numbers, for whose elements every later node runs."""


class TooLarge(Exception):
    """The reference would take too long."""


class Reference:
    """Computes what ComfyUI produces for a graph, with sizes instead of pixels."""

    def __init__(self) -> None:
        self.graph: dict[str, Any] = {}
        self.values: dict[str, list[Value]] = {}

    def add(self, class_type: str, outputs: list[Value], **inputs: Any) -> str:
        node_id = str(len(self.graph))
        self.graph[node_id] = {"class_type": class_type, "inputs": inputs}
        if any(sum(one.count for one in value if isinstance(one, Batch)) > MOST_IMAGES for value in outputs):
            raise TooLarge
        if any(len(value) > MOST_IMAGES for value in outputs):
            raise TooLarge
        self.values[node_id] = outputs
        return node_id

    def of(self, slot: str) -> Value:
        node_id, _, index = slot.partition(":")
        return self.values[node_id][int(index or 0)]

    def images(self) -> list[str]:
        return [slot for slot in self._slots() if isinstance(self.of(slot)[0], Batch)]

    def numbers(self) -> list[str]:
        return [slot for slot in self._slots() if isinstance(self.of(slot)[0], int)]

    def _slots(self) -> list[str]:
        return [f"{node_id}:{index}" for node_id, outputs in self.values.items() for index in range(len(outputs))]


def link(slot: str) -> list[Any]:
    node_id, _, index = slot.partition(":")
    return [node_id, int(index or 0)]


def runs(*values: Any) -> list[tuple[Any, ...]]:
    """Yield the arguments of each run: as many as the longest list has; shorter ones repeat their last element."""
    lists = [value if isinstance(value, list) else [value] for value in values]
    return [tuple(one[min(run, len(one) - 1)] for one in lists) for run in range(max(map(len, lists)))]


@st.composite
def graphs(draw: Any) -> Reference:
    reference = Reference()
    batch = draw(SMALL)
    reference.add("EmptyImage", [[Batch(40, 24, batch)]], width=40, height=24, batch_size=batch, color=0)
    for _ in range(draw(st.integers(1, 9))):
        name: str = draw(st.sampled_from(sorted(STEPS)))
        STEPS[name](draw, reference)
    return reference


def a_number(draw: Any, reference: Reference) -> tuple[Any, Any]:
    """Generate a number and its value in a graph: literal, as text, wrapped, or linked."""
    known = reference.numbers()
    if known and draw(st.booleans()):
        slot = draw(st.sampled_from(known))
        return link(slot), reference.of(slot)
    value = draw(SMALL)
    return draw(st.sampled_from([value, str(value), {"__value__": value}])), value


def an_image(draw: Any, reference: Reference) -> tuple[list[Any], Value]:
    slot = draw(st.sampled_from(reference.images()))
    return link(slot), reference.of(slot)


def primitive(draw: Any, reference: Reference) -> None:
    value = draw(SMALL)
    reference.add("PrimitiveInt", [[value]], value=value)


def measured(draw: Any, reference: Reference) -> None:
    source, value = an_image(draw, reference)
    outputs = [[getattr(one, name) for one in value] for name in ("width", "height", "count")]
    reference.add("GetImageSize", outputs, image=source)


def empty(draw: Any, reference: Reference) -> None:
    (width, w), (height, h), (batch, n) = (a_number(draw, reference) for _ in range(3))
    made = [Batch(*one) for one in runs(w, h, n)]
    reference.add("EmptyImage", [made], width=width, height=height, batch_size=batch, color=0)


def repeat(draw: Any, reference: Reference) -> None:
    (source, value), (amount, n) = an_image(draw, reference), a_number(draw, reference)
    made = [Batch(one.width, one.height, one.count * times) for one, times in runs(value, n)]
    reference.add("RepeatImageBatch", [made], image=source, amount=amount)


def join(draw: Any, reference: Reference) -> None:
    (first, a), (second, b) = an_image(draw, reference), an_image(draw, reference)
    made = [Batch(one.width, one.height, one.count + two.count) for one, two in runs(a, b)]
    reference.add("ImageBatch", [made], image1=first, image2=second)


def choose(draw: Any, reference: Reference) -> None:
    (source, value), length = an_image(draw, reference), draw(SMALL)
    made = [Batch(one.width, one.height, min(one.count, length)) for one in value]
    reference.add("ImageFromBatch", [made], image=source, batch_index=0, length=length)


def rebatch(draw: Any, reference: Reference) -> None:
    """Combine consecutive images of one size into batches."""
    (source, value), size = an_image(draw, reference), draw(SMALL)
    made: list[Batch] = []
    for one in value:
        left = one.count
        while left:
            last = made[-1] if made else None
            if last and (last.width, last.height) == (one.width, one.height) and last.count < size:
                taken = min(left, size - last.count)
                made[-1] = Batch(one.width, one.height, last.count + taken)
            else:
                taken = min(left, size)
                made.append(Batch(one.width, one.height, taken))
            left -= taken
    reference.add("RebatchImages", [made], images=source, batch_size=size)


def listed(draw: Any, reference: Reference) -> None:
    (first, a), (second, b) = an_image(draw, reference), an_image(draw, reference)
    reference.add("CreateList", [[*a, *b]], **{"inputs.input0": first, "inputs.input1": second})


def switch(draw: Any, reference: Reference) -> None:
    (first, a), (second, b) = an_image(draw, reference), an_image(draw, reference)
    chosen = draw(st.booleans())
    picked = [two if chosen else one for one, two in runs(a, b)]
    reference.add("ComfySwitchNode", [picked], switch=chosen, on_false=first, on_true=second)


def scale(draw: Any, reference: Reference) -> None:
    (source, value), width, height = an_image(draw, reference), draw(st.integers(0, 64)), draw(st.integers(0, 64))
    made = []
    for one in value:
        if width == 0 and height == 0:
            made.append(one)
            continue
        wide = width or max(1, round(one.width * height / one.height))
        high = height or max(1, round(one.height * width / one.width))
        made.append(Batch(wide, high, one.count))
    reference.add(
        "ImageScale", [made], image=source, upscale_method="area", width=width, height=height, crop="disabled"
    )


def scale_by(draw: Any, reference: Reference) -> None:
    (source, value), factor = an_image(draw, reference), draw(st.sampled_from([0.25, 1.0, 1.5, 3.0]))
    made = [Batch(max(round(one.width * factor), 1), max(round(one.height * factor), 1), one.count) for one in value]
    reference.add("ImageScaleBy", [made], image=source, upscale_method="area", scale_by=factor)


def crop(draw: Any, reference: Reference) -> None:
    source, value = an_image(draw, reference)
    width, height, x, y = (draw(st.integers(1, 50)) for _ in range(4))
    made = []
    for one in value:
        left, top = min(x, one.width - 1), min(y, one.height - 1)
        made.append(Batch(min(width, one.width - left), min(height, one.height - top), one.count))
    reference.add("ImageCrop", [made], image=source, width=width, height=height, x=x, y=y)


def pad(draw: Any, reference: Reference) -> None:
    (source, value), left, top = an_image(draw, reference), draw(st.integers(0, 9)), draw(st.integers(0, 9))
    made = [Batch(one.width + left, one.height + top, one.count) for one in value]
    reference.add("ImagePadForOutpaint", [made], image=source, left=left, top=top, right=0, bottom=0, feathering=0)


def tiles(draw: Any, reference: Reference) -> None:
    (source, value), side, overlap = an_image(draw, reference), draw(st.integers(8, 32)), draw(st.integers(0, 8))
    stride = round(max(side * 0.25, side - overlap))
    if len(value) > 1:
        return
    made = []
    (one,) = value
    for y in _starts(one.height, side, stride):
        for x in _starts(one.width, side, stride):
            made.append(Batch(min(side, one.width), min(side, one.height), one.count))
            assert x >= 0 <= y
    reference.add("SplitImageToTileList", [made], image=source, tile_width=side, tile_height=side, overlap=overlap)


def _starts(length: int, side: int, stride: int) -> list[int]:
    starts, at = [], 0
    while at < length:
        starts.append(at)
        if at + side >= length:
            break
        at += stride
    return starts


def stitch(draw: Any, reference: Reference) -> None:
    (first, a), (second, b) = an_image(draw, reference), an_image(draw, reference)
    direction, match = draw(st.sampled_from(["left", "right", "up", "down"])), draw(st.booleans())
    made = []
    for one, two in runs(a, b):
        count, beside = max(one.count, two.count), direction in {"left", "right"}
        wide, high = two.width, two.height
        if match and beside:
            wide, high = max(int(one.height * wide / high), 1), one.height
        elif match:
            wide, high = one.width, max(int(one.width * high / wide), 1)
        if beside:
            made.append(Batch(one.width + wide + 2, max(one.height, high), count))
        else:
            made.append(Batch(max(one.width, wide), one.height + high + 2, count))
    reference.add(
        "ImageStitch", [made], image1=first, image2=second, direction=direction, match_image_size=match, spacing_width=2
    )


STEPS: dict[str, Callable[[Any, Reference], None]] = {
    step.__name__: step
    for step in (
        primitive, measured, empty, repeat, join, choose, rebatch, listed, switch, scale, scale_by, crop, pad, tiles,
        stitch,
    )
}  # fmt: skip


@st.composite
def small_graphs(draw: Any) -> Reference | None:
    try:
        reference: Reference = draw(graphs())
    except TooLarge:
        return None
    return reference


@settings(max_examples=600, deadline=None)
@given(small_graphs())
def test_computed_bounds_are_never_exceeded(reference: Reference | None) -> None:
    if reference is None:
        return
    graph, errors = read_graph(reference.graph)
    assert not errors
    size = measure_graph(graph)
    for node_id, outputs in reference.values.items():
        bounds = size.outputs[node_id]
        for index, value in enumerate(outputs):
            bound = bounds if isinstance(bounds, Size) else bounds[index]
            assert len(value) <= bound.items, node_id
            for one in value:
                if isinstance(one, int):
                    assert one <= bound.high, node_id
                    continue
                assert one.width <= bound.width, (node_id, reference.graph)
                assert one.height <= bound.height, (node_id, reference.graph)
                assert one.width * one.height <= bound.pixels, (node_id, reference.graph)
                assert one.count <= bound.batch, (node_id, reference.graph)
            assert sum(one.count for one in value if isinstance(one, Batch)) <= bound.total, (node_id, reference.graph)


@settings(max_examples=300, deadline=None)
@given(small_graphs(), st.sampled_from(["SaveImage", "SaveAnimatedWEBP", "PreviewImage"]), st.data())
def test_reservation_is_never_exceeded(reference: Reference | None, output: str, data: st.DataObject) -> None:
    if reference is None:
        return
    slot = data.draw(st.sampled_from(reference.images()))
    batches = [one for one in reference.of(slot) if isinstance(one, Batch)]
    saved = {"class_type": output, "inputs": {"images": link(slot)}}
    graph, errors = read_graph(reference.graph | {"saved": saved})
    assert not errors
    moving = output == "SaveAnimatedWEBP"
    cost = sum(ceil(one.count / 16) if moving else one.count for one in batches)
    assert cost <= compute_reservation(measure_graph(graph)).images
