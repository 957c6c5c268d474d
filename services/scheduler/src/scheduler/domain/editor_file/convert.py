"""From a file of ComfyUI's editor to a graph in API format."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from contracts.catalog import InputSpec
from contracts.wire.shown import plain
from contracts.workflow import MAX_NODES, WRAPPER, Graph, GraphNode
from scheduler.domain.catalog import Catalog
from scheduler.domain.editor_file.file import (
    ANY,
    BYPASSED,
    INPUT_NODE,
    MAX_DEPTH,
    MUTED,
    OUTPUT_NODE,
    PRIMITIVE,
    VIRTUAL,
    EditorFile,
    FileGraph,
    FileNode,
    InexactError,
    Link,
    Slot,
    promoted_widgets,
    read_file,
)
from scheduler.domain.editor_file.texts import SAVING, Choose, chosen, filled_in
from scheduler.domain.editor_file.widgets import WidgetValues, check_type, loaded_inputs, read_widgets

REPLACES = "Run widget replace on values"  # property of a primitive node
NAME = "Node name for S&R"  # property that placeholders in file names refer to
MAX_STEPS = 100_000  # along all links of a file; real ones take a few for each link
_NOTHING = WidgetValues({}, {})
_MISSING = object()


class Converted(NamedTuple):
    """A graph. ``faults``: why it is not exactly what the file means; then it is of no use."""

    graph: Graph
    faults: tuple[InexactError, ...] = ()


class Given(NamedTuple):
    """A widget value of a subgraph node that is promoted to an inner input."""

    value: Any


class Source(NamedTuple):
    """The output that a link comes from, past everything that exists in the editor only."""

    node_id: str
    slot: int


class GraphIndex(NamedTuple):
    """What is looked for again and again in the nodes of a file, or of a subgraph.

    Attributes:
        named: nodes by the name that placeholders in file names refer to.
        links_out: of a subgraph, the link to each of its outputs.
        shown: of a subgraph, the value of the widget behind each input that has one.
        targets: of a subgraph, these inputs by the id and the input of the first node that they are linked to.
    """

    named: dict[str, FileNode]
    links_out: dict[int, Link]
    shown: dict[str, Any]
    targets: dict[tuple[str, str], str]


@dataclass(eq=False)
class Place:
    """Where nodes are: the file itself, or one node that stands for a subgraph.

    Attributes:
        path: ids of the nodes around, from the file inwards.
        host: the node that stands for the subgraph, which is in ``outer``.
        given: values of the host's widgets by the subgraph's input.
        promoted: values of the host's widgets that are widgets of nodes inside: by id and name.
    """

    graph: FileGraph
    path: tuple[str, ...] = ()
    host: FileNode | None = None
    outer: "Place | None" = None
    given: dict[str, Any] = field(default_factory=dict)
    promoted: dict[tuple[str, str], Any] = field(default_factory=dict)
    inner: dict[str, "Place"] = field(default_factory=dict)

    def node_id(self, node: FileNode) -> str:
        """As a graph names a node that is here."""
        return ":".join((*self.path, node.id))


def convert(raw: Mapping[str, Any], catalog: Catalog, *, choose: Choose, now: datetime) -> Converted:
    """The graph that the editor would send for a file, with the classes of this catalog.

    Nodes of a class that the catalog does not have keep their links, so that whoever checks the graph can name them.

    Args:
        choose: picks one of the alternatives in a text.
        now: for dates in file names.
    """
    try:
        return _Conversion(read_file(raw), catalog, choose, now).convert()
    except InexactError as inexact:
        return Converted({}, (inexact,))


class TooLargeError(InexactError):
    """The whole file takes too long to read."""


class _Conversion:
    """One file and one catalog."""

    def __init__(self, file: EditorFile, catalog: Catalog, choose: Choose, now: datetime) -> None:
        self._file, self._catalog, self._choose, self._now = file, catalog, choose, now
        self._widgets: dict[FileNode, WidgetValues] = {}
        self._indexes: dict[FileGraph, GraphIndex] = {}
        self._loaded: dict[FileNode, tuple[Slot, ...]] = {}
        self._places = 1
        self._steps = 0

    def convert(self) -> Converted:
        graph: Graph = {}
        faults: list[InexactError] = []
        root = Place(self._file.root)
        for place, node in self._nodes(root):
            if len(graph) >= MAX_NODES:
                raise InexactError(f"It has more than {MAX_NODES} nodes.")
            node_id = place.node_id(node)
            try:
                graph[node_id] = self._graph_node(place, node)
            except TooLargeError:
                raise
            except InexactError as inexact:
                faults.append(InexactError(inexact.why, inexact.node_id or node_id))
                graph[node_id] = GraphNode(node.type, {})
        for made in graph.values():
            gone = [name for name, value in made.inputs.items() if isinstance(value, list) and value[0] not in graph]
            for name in gone:
                del made.inputs[name]
        return Converted(graph, tuple(faults))

    def _nodes(self, place: Place) -> Iterator[tuple[Place, FileNode]]:
        """Every node that runs."""
        for node in place.graph.nodes.values():
            if node.type in VIRTUAL or node.mode in {MUTED, BYPASSED}:
                continue
            if node.type in self._file.subgraphs:
                yield from self._nodes(self._inside(place, node))
            else:
                yield place, node

    def _graph_node(self, place: Place, node: FileNode) -> GraphNode:
        widgets = self._widgets_of(node)
        values = {**widgets.values, **self._from_primitives(place, node, widgets)}
        inputs: dict[str, Any] = {}
        for name, value in values.items():
            if value is not None:
                inputs[name] = _wrapped(self._serialized(place, node, name, widgets.specs[name], value))
        for slot, declared in enumerate(node.inputs):
            match self._resolve(place, node, slot):
                case Given(value):
                    inputs[declared.name] = _wrapped(value)
                case Source(source, output):
                    inputs[declared.name] = [source, output]
        for (inner, name), value in place.promoted.items():
            if inner == node.id and name in widgets.specs and value is not None:
                check_type(name, widgets.specs[name], value)
                inputs[name] = _wrapped(value)
        given = {name: value for name, value in inputs.items() if value is not None}
        return GraphNode(node.type, given, {"title": node.title} if node.title else None)

    def _widgets_of(self, node: FileNode) -> WidgetValues:
        if node not in self._widgets:
            known = node.type in self._catalog.classes
            self._widgets[node] = read_widgets(node, self._catalog.facts(node.type)) if known else _NOTHING
        return self._widgets[node]

    def _serialized(self, place: Place, node: FileNode, name: str, spec: InputSpec, value: Any) -> Any:
        """What a widget sends for its value."""
        if not isinstance(value, str):
            return value
        if name == "filename_prefix" and node.type in SAVING:
            return filled_in(value, self._now, partial(self._value_of, place))
        return chosen(value, self._choose) if spec.dynamic_prompts else value

    def _value_of(self, place: Place, name: str, widget: str) -> Any:
        """Of the widget of a node that a placeholder names."""
        node = self._index_of(place.graph).named.get(name)
        return self._widgets_of(node).values.get(widget) if node is not None else None

    def _from_primitives(self, place: Place, node: FileNode, widgets: WidgetValues) -> dict[str, Any]:
        """Values of primitive nodes. The API format has no such nodes, so linked widgets take the values."""
        found: dict[str, Any] = {}
        for declared in node.inputs:
            link = place.graph.links.get(declared.link or "")
            source = place.graph.nodes.get(link.origin) if link else None
            if source is None or source.type != PRIMITIVE or declared.name not in widgets.specs:
                continue
            value = place.promoted.get((source.id, "value"), _first(source.values))
            if value is _MISSING:
                continue
            if isinstance(value, str) and "%" in value and source.properties.get(REPLACES):
                raise InexactError("A primitive node fills placeholders into a text.", place.node_id(source))
            check_type(declared.name, widgets.specs[declared.name], value)
            found[declared.name] = value
        return found

    def _resolve(self, place: Place, node: FileNode, slot: int) -> Source | Given | None:
        """What an input is linked to, past muted, bypassed and virtual nodes, and in and out of subgraphs."""
        seen: set[tuple[Place, str, str, int]] = set()
        at: tuple[Place, FileNode, int, str | None] | Source | Given | None = (place, node, slot, None)
        while isinstance(at, tuple) and not isinstance(at, Source | Given):
            here, current, number, kind = at
            key = (here, current.id, "in", number)
            if key in seen:
                raise InexactError("Its links go round in a circle.", place.node_id(node))
            seen.add(key)
            at = self._step(here, current, number, kind, seen)
        return at

    def _step(
        self, place: Place, node: FileNode, slot: int, kind: str | None, seen: set[tuple[Place, str, str, int]]
    ) -> tuple[Place, FileNode, int, str | None] | Source | Given | None:
        """From an input to the next one, or to the end."""
        self._count_step()
        if slot >= len(node.inputs):
            raise InexactError(f"It has no input {slot}.", place.node_id(node))
        declared = node.inputs[slot]
        if declared.link is None:
            return None
        link = place.graph.links.get(declared.link)
        if link is None:
            raise InexactError(f"Its input {plain(declared.name)} has a link that the file lacks.", place.node_id(node))
        if link.origin == INPUT_NODE and place.host is not None and place.outer is not None:
            return self._outwards(place, place.host, place.outer, link, node)
        return self._from_output(place, link.origin, link.origin_slot, kind or declared.type, seen)

    def _outwards(
        self, place: Place, host: FileNode, outer: Place, link: Link, node: FileNode
    ) -> tuple[Place, FileNode, int, str | None] | Given | None:
        """From a subgraph's inner input to the input of its outer node."""
        if link.origin_slot >= len(place.graph.inputs):
            raise InexactError("It is linked to an input that its subgraph lacks.", place.node_id(node))
        name = place.graph.inputs[link.origin_slot].name
        slot = next((number for number, one in enumerate(host.inputs) if one.name == name), None)
        if slot is None or host.inputs[slot].link is None:
            return Given(place.given[name]) if name in place.given else None
        source = outer.graph.links.get(host.inputs[slot].link or "")
        origin = outer.graph.nodes.get(source.origin) if source else None
        if origin is not None and origin.type == PRIMITIVE:
            raise InexactError("A primitive node is linked to a subgraph.", outer.node_id(host))
        return outer, host, slot, None

    def _from_output(
        self, place: Place, node_id: str, slot: int, kind: str, seen: set[tuple[Place, str, str, int]]
    ) -> tuple[Place, FileNode, int, str | None] | Source | None:
        """From an output to the node that makes what it gives, or to the input that it passes on."""
        while True:
            self._count_step()
            node = place.graph.nodes.get(node_id)
            if node is None:
                raise InexactError(f"A link comes from node {plain(node_id)}, which the file lacks.")
            key = (place, node_id, "out", slot)
            if key in seen:
                raise InexactError("Its links go round in a circle.", place.node_id(node))
            seen.add(key)
            if node.mode in {MUTED, BYPASSED}:
                passed = self._passed_slot(node, slot, kind) if node.mode == BYPASSED else None
                return None if passed is None else (place, node, passed, None)
            if node.type in VIRTUAL:
                return (place, node, slot, kind) if slot < len(node.inputs) else None
            if node.type not in self._file.subgraphs:
                return Source(place.node_id(node), slot)
            place = self._inside(place, node)
            link = self._link_out(place, slot)
            if link is None:
                return None
            node_id, slot = link.origin, link.origin_slot

    def _link_out(self, place: Place, slot: int) -> Link | None:
        """The link inside of a subgraph to one of its outputs."""
        link = self._index_of(place.graph).links_out.get(slot)
        if link is not None and link.origin == INPUT_NODE:
            raise InexactError("Its subgraph passes an input on as an output.", ":".join(place.path))
        return link

    def _passed_slot(self, node: FileNode, slot: int, kind: str) -> int | None:
        """The place in the file of the input that a bypassed node passes on; None where there is none."""
        inputs, given = node.inputs, node.outputs[slot].type if slot < len(node.outputs) else ANY
        if node.type in self._catalog.classes:
            facts = self._catalog.facts(node.type)
            if node not in self._loaded:
                self._loaded[node] = loaded_inputs(node, facts)
            inputs = self._loaded[node]
            given = facts.spec.outputs[slot] if slot < len(facts.spec.outputs) else given
        passed = bypass_slot(inputs, slot, given, kind)
        names = [one.name for one in node.inputs]
        return names.index(inputs[passed].name) if passed is not None and inputs[passed].name in names else None

    def _inside(self, place: Place, host: FileNode) -> Place:
        """The nodes of the subgraph that a node stands for."""
        if host.id not in place.inner:
            self._places += 1
            if len(place.path) >= MAX_DEPTH or self._places > MAX_NODES:
                raise InexactError("Its subgraphs are nested too deep, or too many.", place.node_id(host))
            inner = Place(self._file.subgraphs[host.type], (*place.path, host.id), host, place)
            place.inner[host.id] = inner
            self._read_host_widgets(inner, host)
        return place.inner[host.id]

    def _read_host_widgets(self, place: Place, host: FileNode) -> None:
        """The values of the widgets that a subgraph's node has: of its inputs, and as older files promote them."""
        if isinstance(host.values, dict):
            raise InexactError("The widgets of its subgraph are named, not in order.", place.node_id(host))
        place.given = dict(self._index_of(place.graph).shown)
        values = list(host.values or ())
        place.given |= dict(zip(place.given, values, strict=False))
        if place.outer is not None and (place.outer.promoted or place.outer.given):
            shown = {name: value for (inner, name), value in place.outer.promoted.items() if inner == host.id}
            place.given |= {name: value for name, value in shown.items() if name in place.given}
        for number, (inner, name) in enumerate(promoted_widgets(host)):
            if number < len(values):
                self._promote(place, inner, name, values[number])

    def _promote(self, place: Place, inner: str, name: str, value: Any) -> None:
        if inner == "-1":
            if name in place.given:
                place.given[name] = value
            return
        shown = self._index_of(place.graph).targets.get((inner, name))
        if shown is not None:
            place.given[shown] = value
            return
        node = place.graph.nodes.get(inner)
        if node is not None:
            is_primitive = node.type == PRIMITIVE
            place.promoted[(inner, "value" if is_primitive else name)] = value

    def _index_of(self, graph: FileGraph) -> GraphIndex:
        if graph not in self._indexes:
            values = [self._promoted_value(graph, number) for number in range(len(graph.inputs))]
            shown = {
                slot.name: value for slot, value in zip(graph.inputs, values, strict=True) if value is not _MISSING
            }
            targets: dict[tuple[str, str], str] = {}
            for number, slot in enumerate(graph.inputs):
                if slot.name in shown and (target := self._target(graph, number)) is not None:
                    targets.setdefault(target, slot.name)
            links_out: dict[int, Link] = {}
            for link in graph.links.values():
                if link.target == OUTPUT_NODE:
                    links_out.setdefault(link.target_slot, link)
            self._indexes[graph] = GraphIndex(_named(graph), links_out, shown, targets)
        return self._indexes[graph]

    def _count_step(self) -> None:
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise TooLargeError("Its links lead through too many nodes.")

    def _target(self, graph: FileGraph, number: int) -> tuple[str, str] | None:
        """The first inner node and input that an input of the subgraph is linked to."""
        for link_id in graph.input_links[number]:
            link = graph.links.get(link_id)
            node = graph.nodes.get(link.target) if link else None
            name = next((one.name for one in node.inputs if one.link == link_id), None) if node else None
            if node is not None and name is not None:
                return node.id, name
        return None

    def _promoted_value(self, graph: FileGraph, number: int, depth: int = 0) -> Any:
        """The value of the widget behind an input of a subgraph; ``_MISSING`` if there is none."""
        if depth > MAX_DEPTH:
            return _MISSING
        for link_id in graph.input_links[number]:
            link = graph.links.get(link_id)
            node = graph.nodes.get(link.target) if link else None
            slot = next((one for one in node.inputs if one.link == link_id), None) if node else None
            if node is None or slot is None:
                continue
            inside = self._file.subgraphs.get(node.type)
            if inside is not None:
                same = [place for place, one in enumerate(inside.inputs) if one.name == slot.name]
                value = self._promoted_value(inside, same[0], depth + 1) if same else _MISSING
            elif node.type in self._catalog.classes:
                value = self._widgets_of(node).values.get(slot.name, _MISSING)
            else:
                value = None if slot.has_widget else _MISSING
            if value is not _MISSING:
                return value
        return _MISSING


def _named(graph: FileGraph) -> dict[str, FileNode]:
    """Nodes by name: the first with this property, else the first with this title."""
    titled: dict[str, FileNode] = {}
    named: dict[str, FileNode] = {}
    for node in graph.nodes.values():
        if node.title is not None:
            titled.setdefault(node.title, node)
        if isinstance(node.properties.get(NAME), str):
            named.setdefault(node.properties[NAME], node)
    return titled | named


def bypass_slot(inputs: Sequence[Slot], slot: int, given: str, kind: str) -> int | None:
    """The input that a bypassed node passes on as an output; None where no type fits.

    Args:
        given: type of the output.
        kind: type of the input where the link ends.
    """
    if not inputs:
        return None
    if kind in {ANY, ""}:
        return slot if slot < len(inputs) else 0
    fits = [_connect(one, given) and _connect(one, kind) for one in inputs]
    if slot < len(fits) and fits[slot]:
        return slot
    exact = next((number for number, one in enumerate(inputs) if one.type == kind), None)
    return exact if exact is not None else next((number for number, one in enumerate(fits) if one), None)


def _connect(slot: Slot, kind: str) -> bool:
    """Whether the editor lets an output of this type be linked to the slot."""
    if {slot.type, kind} & {ANY, ""}:
        return True
    return not set(slot.type.lower().split(",")).isdisjoint(kind.lower().split(","))


def _first(values: Any) -> Any:
    return values[0] if isinstance(values, list) and values else _MISSING


def _wrapped(value: Any) -> Any:
    """A list is a link in a graph, so one that is a value is wrapped."""
    return {WRAPPER: value} if isinstance(value, list) else value
