"""One node of a graph while its outputs are bounded."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import inf, isfinite
from typing import Any

from contracts.catalog import ClassSpec
from contracts.graph_size.size import NOTHING, STILL, Size, bounded, images, images_in_runs, largest, spread
from contracts.workflow import GraphNode, is_link

Outputs = Size | tuple[Size, ...]
"""One bound for every output, or one for each; outputs beyond the last are like the last."""

TYPICAL_SIDE = 1024  # of a picture from a class that says nothing about its size
MAX_SIDE, MAX_LENGTH = 16_384, 16_384  # ComfyUI's MAX_RESOLUTION bounds sizes and lengths
MAX_BATCH = 4_096  # the largest batch that a stock class makes
MAX_STEPS = 10_000


@dataclass(frozen=True, slots=True)
class UnknownNumber:
    """An input that sets a size and comes by a link whose value nobody can know before the run.

    Attributes:
        assumed: the most that the class takes.
        counts: whether it sets how many images are made, rather than how large they are.
    """

    node_id: str
    input: str
    assumed: float
    counts: bool


@dataclass(slots=True, weakref_slot=False)
class Sources:
    """What a graph's nodes are bounded from.

    Attributes:
        specs: classes as a node of the fleet has them, as far as known.
        uploads: width and height of uploaded pictures by the id that the graph names.
        outputs: bounds found so far, by node.
        unknown: numbers that nobody can know, in the order in which they were met.
    """

    specs: Mapping[str, ClassSpec]
    uploads: Mapping[str, tuple[int, int]]
    outputs: dict[str, Outputs] = field(default_factory=dict)
    unknown: list[UnknownNumber] = field(default_factory=list)

    _known: dict[Size, Size] = field(default_factory=dict)

    def keep(self, node_id: str, made: Outputs) -> None:
        """Remember what a node gives. Equal bounds are one object, so that many links to them cost little."""
        if type(made) is Size:
            self.outputs[node_id] = self._known.setdefault(made, made)
        else:
            self.outputs[node_id] = made

    def of_link(self, link: list[Any]) -> Size:
        """The bound of what a link carries."""
        found = self.outputs[link[0]]
        return found if type(found) is Size else found[min(link[1], len(found) - 1)]  # type: ignore[return-value]


class NodeInputs:
    """The inputs of one node, bounded.

    Attributes:
        links: what each link and each uploaded picture brings; ``kinds`` the same, each object once.
        runs: how often the node runs: once for each element of the longest list that comes in.
    """

    def __init__(self, node_id: str, node: GraphNode, sources: Sources) -> None:
        self.node_id, self.class_type, self.raw, self._sources = node_id, node.class_type, node.inputs, sources
        of_link = sources.of_link
        self.links = [of_link(value) for value in self.raw.values() if is_link(value)]
        if sources.uploads:
            self.links += self._uploads()
        self.kinds = list({id(size): size for size in self.links}.values())
        self.runs = max([size.items for size in self.kinds], default=1)
        self._lists = sum(size.items > 1 for size in self.links) if self.runs > 1 else 0

    @property
    def spec(self) -> ClassSpec | None:
        """The class, if it is known."""
        return self._sources.specs.get(self.class_type)

    @cached_property
    def joined(self) -> Size:
        """Any one of all that comes in, without numbers."""
        return self._any(self.kinds)

    @cached_property
    def media(self) -> Size:
        """Any one of the images that come in, and nothing else of it."""
        return self._any([size for size in self.kinds if size.batch])._replace(text=0, steps=0)

    def all_media(self) -> Size:
        """All images that come in, joined to one batch."""
        given = [size for size in self.links if size.batch]
        return self.media._replace(
            batch=bounded(sum(size.batch for size in given)),
            total=bounded(sum(images_in_runs(size, self.runs, self._lists) for size in given)),
        )

    def _any(self, sizes: list[Size]) -> Size:
        """Any one of these in each run of the node, not the same in all: a shorter list repeats its last element."""
        runs, known = self.runs, largest(sizes)
        total = known.total
        if runs > 1:
            together = sum(images_in_runs(size, runs, self._lists) for size in sizes)
            total = bounded(min(together, runs * known.batch))
        return known._replace(items=runs, total=total, high=inf, minus_low=inf)

    def one(self, *names: str) -> Size:
        """What comes into the first of these inputs that is linked."""
        for name in names:
            key = self.key(name)
            if key is not None and is_link(self.raw[key]):
                return spread(self._sources.of_link(self.raw[key]), self.runs, self._lists)
        return NOTHING

    def value(self, name: str) -> Size:
        """What an input brings, linked or written in the graph."""
        key = self.key(name)
        return NOTHING if key is None else spread(self._value(self.raw[key]), self.runs, self._lists)

    def several(self, prefix: str) -> Iterator[tuple[str, Size]]:
        """The inputs of a family (``values.a``, ``values.b``), by their last part."""
        for key, value in self.raw.items():
            if key.startswith(prefix):
                yield key[len(prefix) :], self._value(value)

    def key(self, name: str) -> str | None:
        """The name under which an input is given: its own, or that of one part of a family (``resize_type.width``)."""
        if name in self.raw:
            return name
        return self._dotted.get(name)

    def literal(self, name: str) -> Any:
        """The value of an input that is not linked, unwrapped; None where it is linked or absent."""
        key = self.key(name)
        value = None if key is None else _unwrapped(self.raw[key])
        return None if type(value) is list else value

    def number(self, name: str, absent: float, most: float, *, counts: bool = False) -> float:
        """The largest value of a number.

        Args:
            absent: where the input is not given.
            most: that the class takes, where the class is not known.
            counts: whether the number sets how many images are made.
        """
        key = self.key(name)
        if key is None:
            return absent
        high = self._value(self.raw[key]).high
        if isfinite(high):
            return high
        spec = self.spec
        accepted = spec.inputs.get(name) if spec else None
        assumed = accepted.max if accepted and accepted.max is not None else most
        self._sources.unknown.append(UnknownNumber(self.node_id, key, assumed, counts))
        return assumed

    def length(self, *names: str) -> int:
        """The bytes of all texts of these inputs; of all inputs where none is named."""
        if names:
            keys = [key for name in names if (key := self.key(name)) is not None]
            return sum(self._value(self.raw[key]).text for key in keys)
        written = sum([utf8_bytes(value) for value in self.raw.values() if type(value) is str])
        wrapped = sum([self._value(value).text for value in self.raw.values() if type(value) is dict])
        return written + wrapped + sum([size.text for size in self.links])

    def interval(self, name: str) -> tuple[float, float]:
        """The least and the greatest value of a number, infinite where nobody knows."""
        key = self.key(name)
        value = NOTHING if key is None else self._value(self.raw[key])
        return -value.minus_low, value.high

    def made(self, width: float, height: float, count: float, medium: int = STILL) -> Size:
        """New images, once for each run."""
        return images(width, height, count, items=self.runs, medium=medium, ratio=self.ratio("width", "height"))

    def ratio(self, width: str, height: str) -> float | None:
        """The longest ratio of two numbers that may be smaller than their bounds; None where they are exact."""
        lows, highs = zip(self.interval(width), self.interval(height), strict=True)
        if all(
            low == high or (not isfinite(high) and self.key(name) is None)
            for low, high, name in zip(lows, highs, (width, height), strict=True)
        ):
            return None
        return max([high for high in highs if isfinite(high)], default=MAX_SIDE) / max(min(lows), 1)

    @cached_property
    def _dotted(self) -> dict[str, str]:
        return {key.rpartition(".")[2]: key for key in self.raw if "." in key}

    def _value(self, value: Any) -> Size:
        value = _unwrapped(value)
        if type(value) is list:
            return self._sources.of_link(value) if _is_link(value, self._sources.outputs) else NOTHING
        return literal_size(value)

    def _uploads(self) -> list[Size]:
        known = self._sources.uploads
        named = [value for value in self.raw.values() if type(value) is str and value in known]
        return [images(*known[value]) for value in named]


def utf8_bytes(value: str) -> int:
    """The length of a text as UTF-8."""
    return len(value) if value.isascii() else len(value.encode("utf-8", "replace"))


def literal_size(value: Any) -> Size:
    """The bound of a value that is written in the graph. ComfyUI also takes a number that is written as a text."""
    kind = type(value)
    if kind is str:
        high = _written_number(value) if len(value) <= 64 else inf
        return NOTHING._replace(text=utf8_bytes(value), high=high, minus_low=-high)
    if kind in (int, float, bool) and isfinite(value):
        return NOTHING._replace(high=float(value), minus_low=-float(value))
    return NOTHING


def _written_number(value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        return inf
    return number if isfinite(number) else inf


def _unwrapped(value: Any) -> Any:
    return value["__value__"] if type(value) is dict and "__value__" in value else value


def _is_link(value: list[Any], outputs: Mapping[str, Outputs]) -> bool:
    return len(value) == 2 and type(value[0]) is str and value[0] in outputs and type(value[1]) is int


Rule = Callable[[NodeInputs], Outputs]
"""How the outputs of a class are bounded."""
