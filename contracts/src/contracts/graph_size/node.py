"""The inputs of one graph node, from which upper bounds of its outputs are computed."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import inf, isfinite
from typing import Any

from contracts.catalog import ClassSpec
from contracts.graph_size.size import (
    EMPTY,
    STILL,
    Size,
    bound_over_all_runs,
    clamp_bound,
    combine_maximums,
    count_images_in_runs,
    images_size,
)
from contracts.workflow import GraphNode, is_link

Outputs = Size | tuple[Size, ...]
"""One bound that holds for every output, or one for each output. Outputs beyond the last bound have the last one."""

TYPICAL_SIDE = 1024  # assumed side of an image from a class without size inputs
MAX_SIDE, MAX_LENGTH = 16_384, 16_384  # ComfyUI's MAX_RESOLUTION bounds sizes and lengths
MAX_BATCH = 4_096  # largest batch that a stock class produces
MAX_STEPS = 10_000


@dataclass(frozen=True, slots=True)
class UnresolvedInput:
    """A linked input that sets a size and whose value cannot be computed before the run.

    Attributes:
        assumed: maximum that the class accepts.
        counts: whether it sets the number of images instead of their size.
    """

    node_id: str
    input: str
    assumed: float
    counts: bool


@dataclass(slots=True, weakref_slot=False)
class KnownBounds:
    """The facts and results of one computation of upper bounds.

    Attributes:
        specs: known classes of the fleet.
        uploads: width and height of uploaded images, by the id in the graph.
        outputs: bounds found so far, by node.
        unknown: numbers that cannot be computed, in the order in which they were found.
    """

    specs: Mapping[str, ClassSpec]
    uploads: Mapping[str, tuple[int, int]]
    outputs: dict[str, Outputs] = field(default_factory=dict)
    unknown: list[UnresolvedInput] = field(default_factory=list)

    _shared_sizes: dict[Size, Size] = field(default_factory=dict)

    def store(self, node_id: str, outputs: Outputs) -> None:
        """Store the bounds of a node. Equal bounds share one object to save memory."""
        if type(outputs) is Size:
            self.outputs[node_id] = self._shared_sizes.setdefault(outputs, outputs)
        else:
            self.outputs[node_id] = outputs

    def get_link_bounds(self, link: list[Any]) -> Size:
        """Return the bounds of a link's value."""
        found = self.outputs[link[0]]
        return found if type(found) is Size else found[min(link[1], len(found) - 1)]  # type: ignore[return-value]


class NodeInputs:
    """The inputs of one node, with their upper bounds.

    Attributes:
        linked_sizes: bounds of each link and each uploaded image; ``distinct_sizes`` has no duplicates.
        runs: how often the node runs: once per element of its longest input list.
    """

    def __init__(self, node_id: str, node: GraphNode, sources: KnownBounds) -> None:
        self.node_id, self.class_type, self.raw, self._sources = node_id, node.class_type, node.inputs, sources
        get_link_bounds = sources.get_link_bounds
        self.linked_sizes = [get_link_bounds(value) for value in self.raw.values() if is_link(value)]
        if sources.uploads:
            self.linked_sizes += self._list_upload_sizes()
        self.distinct_sizes = list({id(size): size for size in self.linked_sizes}.values())
        self.runs = max([size.items for size in self.distinct_sizes], default=1)
        self._lists = sum(size.items > 1 for size in self.linked_sizes) if self.runs > 1 else 0

    @property
    def spec(self) -> ClassSpec | None:
        """The class; None if it is unknown."""
        return self._sources.specs.get(self.class_type)

    @cached_property
    def any_input(self) -> Size:
        """Bounds of any one of the inputs, without numbers."""
        return self._bound_any_of(self.distinct_sizes)

    @cached_property
    def any_image(self) -> Size:
        """Bounds of any one of the input images, without other values."""
        return self._bound_any_of([size for size in self.distinct_sizes if size.batch])._replace(text=0, steps=0)

    def join_images(self) -> Size:
        """Return an upper bound of all input images joined to one batch."""
        given = [size for size in self.linked_sizes if size.batch]
        return self.any_image._replace(
            batch=clamp_bound(sum(size.batch for size in given)),
            total=clamp_bound(sum(count_images_in_runs(size, self.runs, self._lists) for size in given)),
        )

    def _bound_any_of(self, sizes: list[Size]) -> Size:
        """Return upper bounds of one of these sizes per run of the node, whichever it is.

        Different runs can use different ones, because a shorter list repeats its last element.
        """
        runs, known = self.runs, combine_maximums(sizes)
        total = known.total
        if runs > 1:
            together = sum(count_images_in_runs(size, runs, self._lists) for size in sizes)
            total = clamp_bound(min(together, runs * known.batch))
        return known._replace(items=runs, total=total, high=inf, minus_low=inf)

    def first_linked(self, *names: str) -> Size:
        """Return the bounds of the first of these inputs that is linked; ``EMPTY`` if none of them is."""
        for name in names:
            key = self.find_key(name)
            if key is not None and is_link(self.raw[key]):
                return bound_over_all_runs(self._sources.get_link_bounds(self.raw[key]), self.runs, self._lists)
        return EMPTY

    def bound_input(self, name: str) -> Size:
        """Return the bounds of an input, linked or literal; ``EMPTY`` if it is not set."""
        key = self.find_key(name)
        return EMPTY if key is None else bound_over_all_runs(self._bound_value(self.raw[key]), self.runs, self._lists)

    def bound_family(self, prefix: str) -> Iterator[tuple[str, Size]]:
        """Yield the bounds of the inputs of a family (``values.a``, ``values.b``), with the last part of each name."""
        for key, value in self.raw.items():
            if key.startswith(prefix):
                yield key[len(prefix) :], self._bound_value(value)

    def find_key(self, name: str) -> str | None:
        """Return the name under which the graph sets an input.

        It is its own name, or that of a part of a dynamic input (``resize_type.width``); None if it is not set.
        """
        if name in self.raw:
            return name
        return self._family_parts.get(name)

    def literal(self, name: str) -> Any:
        """Return the unwrapped value of an input; None if it is linked or absent."""
        key = self.find_key(name)
        value = None if key is None else _unwrap_value(self.raw[key])
        return None if type(value) is list else value

    def max_number(self, name: str, absent: float, most: float, *, counts: bool = False) -> float:
        """Return the largest value of a number.

        Args:
            absent: value if the input is not set.
            most: maximum that the class accepts, if the class is not known.
            counts: whether the number sets how many images are produced.
        """
        key = self.find_key(name)
        if key is None:
            return absent
        high = self._bound_value(self.raw[key]).high
        if isfinite(high):
            return high
        spec = self.spec
        accepted = spec.inputs.get(name) if spec else None
        assumed = accepted.max if accepted and accepted.max is not None else most
        self._sources.unknown.append(UnresolvedInput(self.node_id, key, assumed, counts))
        return assumed

    def text_bytes(self, *names: str) -> int:
        """Return the UTF-8 bytes of the text in these inputs, or in all inputs if no name is given."""
        if names:
            keys = [key for name in names if (key := self.find_key(name)) is not None]
            return sum(self._bound_value(self.raw[key]).text for key in keys)
        written = sum([count_utf8_bytes(value) for value in self.raw.values() if type(value) is str])
        wrapped = sum([self._bound_value(value).text for value in self.raw.values() if type(value) is dict])
        return written + wrapped + sum([size.text for size in self.linked_sizes])

    def number_range(self, name: str) -> tuple[float, float]:
        """Return the minimum and maximum of a number; they are infinite if unknown."""
        key = self.find_key(name)
        value = EMPTY if key is None else self._bound_value(self.raw[key])
        return -value.minus_low, value.high

    def new_images(self, width: float, height: float, count: float, medium: int = STILL) -> Size:
        """Return the bounds of images that the node creates once per run."""
        return images_size(
            width, height, count, items=self.runs, medium=medium, ratio=self.max_ratio("width", "height")
        )

    def max_ratio(self, width: str, height: str) -> float | None:
        """Return the largest ratio of two numbers that may be smaller than their bounds; None if they are exact."""
        lows, highs = zip(self.number_range(width), self.number_range(height), strict=True)
        if all(
            low == high or (not isfinite(high) and self.find_key(name) is None)
            for low, high, name in zip(lows, highs, (width, height), strict=True)
        ):
            return None
        return max([high for high in highs if isfinite(high)], default=MAX_SIDE) / max(min(lows), 1)

    @cached_property
    def _family_parts(self) -> dict[str, str]:
        return {key.rpartition(".")[2]: key for key in self.raw if "." in key}

    def _bound_value(self, value: Any) -> Size:
        value = _unwrap_value(value)
        if type(value) is list:
            return self._sources.get_link_bounds(value) if _is_link(value, self._sources.outputs) else EMPTY
        return bound_literal(value)

    def _list_upload_sizes(self) -> list[Size]:
        known = self._sources.uploads
        named = [value for value in self.raw.values() if type(value) is str and value in known]
        return [images_size(*known[value]) for value in named]


def count_utf8_bytes(value: str) -> int:
    return len(value) if value.isascii() else len(value.encode("utf-8", "replace"))


def bound_literal(value: Any) -> Size:
    """Return the bounds of a literal value. ComfyUI also accepts a number written as text."""
    kind = type(value)
    if kind is str:
        high = _parse_number(value) if len(value) <= 64 else inf
        return EMPTY._replace(text=count_utf8_bytes(value), high=high, minus_low=-high)
    if kind in (int, float, bool) and isfinite(value):
        return EMPTY._replace(high=float(value), minus_low=-float(value))
    return EMPTY


def _parse_number(value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        return inf
    return number if isfinite(number) else inf


def _unwrap_value(value: Any) -> Any:
    return value["__value__"] if type(value) is dict and "__value__" in value else value


def _is_link(value: list[Any], outputs: Mapping[str, Outputs]) -> bool:
    return len(value) == 2 and type(value[0]) is str and value[0] in outputs and type(value[1]) is int


Rule = Callable[[NodeInputs], Outputs]
"""Computes the bounds of the outputs of one node."""
