"""Converts a file of ComfyUI's editor to a graph in API format."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from contracts.catalog import InputSpec
from contracts.wire.show_values import make_printable
from contracts.workflow import LITERAL_WRAPPER, MAX_NODES, Graph, GraphNode
from scheduler.domain.catalog import Catalog
from scheduler.domain.editor_file.parse import (
    ANY,
    BYPASSED,
    EDITOR_ONLY_CLASSES,
    INPUT_NODE,
    MAX_DEPTH,
    MUTED,
    OUTPUT_NODE,
    PRIMITIVE,
    EditorFile,
    FileGraph,
    FileNode,
    InexactError,
    Link,
    Slot,
    count_characters,
    list_promoted_widgets,
    parse_file,
)
from scheduler.domain.editor_file.prompt_texts import (
    SAVING_CLASSES,
    DrawNumber,
    fill_placeholders,
    resolve_dynamic_prompt,
)
from scheduler.domain.editor_file.widgets import WidgetValues, check_type, order_inputs_as_loaded, read_widgets

REPLACES_PLACEHOLDERS = "Run widget replace on values"  # property of a primitive node
NAME_PROPERTY = "Node name for S&R"  # property that placeholders in file names refer to
MAX_LINK_STEPS = 100_000  # for all links of a file together; real files take a few steps per link
MAX_CHARACTERS = 8 << 20  # of all nodes and values; a subgraph counts as often as it is used
_NO_WIDGETS = WidgetValues({}, {})
_MISSING = object()


class ConvertedGraph(NamedTuple):
    """A graph. ``faults``: why the conversion is not exact. A graph with faults must not be run."""

    graph: Graph
    faults: tuple[InexactError, ...] = ()


class PromotedValue(NamedTuple):
    """A widget value of a subgraph node that replaces the value of an inner input."""

    value: Any


class LinkSource(NamedTuple):
    """The output that a link comes from, after skipping nodes that only the editor has."""

    node_id: str
    slot: int


class InputRef(NamedTuple):
    """An input of a node, to be followed to its source.

    Attributes:
        slot: index of the input.
        type: type of the input at the end of the link; None: the type of this input.
    """

    scope: "GraphScope"
    node: FileNode
    slot: int
    type: str | None = None


class GraphIndex(NamedTuple):
    """Lookup tables for the nodes of a file or of a subgraph.

    Attributes:
        nodes_by_name: nodes by the name that placeholders in file names refer to.
        output_links: the link to each output of a subgraph, by slot.
        input_values: the widget value behind each input of a subgraph that has a widget, by input name.
        input_by_target: the name of each input in ``input_values``, by node id and input name of the first inner input
            that it leads to.
    """

    nodes_by_name: dict[str, FileNode]
    output_links: dict[int, Link]
    input_values: dict[str, Any]
    input_by_target: dict[tuple[str, str], str]


@dataclass(eq=False)
class GraphScope:
    """The top level of a file, or one instance of a subgraph.

    Attributes:
        path: ids of the enclosing subgraph nodes, outermost first.
        subgraph_node: the node that represents the subgraph; it is in the scope ``outer``.
        input_values: widget values of the subgraph node, by input of the subgraph.
        promoted_values: widget values of the subgraph node that belong to inner nodes, by node id, then by widget name.
        inner: scopes of the subgraphs inside, by the id of their node.
    """

    graph: FileGraph
    path: tuple[str, ...] = ()
    subgraph_node: FileNode | None = None
    outer: "GraphScope | None" = None
    input_values: dict[str, Any] = field(default_factory=dict)
    promoted_values: dict[str, dict[str, Any]] = field(default_factory=dict)
    inner: dict[str, "GraphScope"] = field(default_factory=dict)

    def build_node_id(self, node: FileNode) -> str:
        """Return the id of a node of this scope in the converted graph, such as "5:3"."""
        return ":".join((*self.path, node.id))


def convert_editor_file(
    raw: Mapping[str, Any], catalog: Catalog, *, draw_number: DrawNumber, now: datetime
) -> ConvertedGraph:
    """Convert a file to the graph that the editor would send, with the classes of this catalog.

    Nodes of unknown classes keep their links, so that the later graph check can report them.

    Args:
        raw: the decoded file.
        catalog: the catalog of a node.
        draw_number: draws an integer from 0 to below its argument, to choose one of the alternatives in a text.
        now: time for dates in file names.
    """
    try:
        return _Conversion(parse_file(raw), catalog, draw_number, now).convert()
    except InexactError as inexact:
        return ConvertedGraph({}, (inexact,))


class TooLargeError(InexactError):
    """Converting the file takes more than ``MAX_LINK_STEPS``, or the result has more than ``MAX_CHARACTERS``."""


class _Conversion:
    """Converts one file with one catalog."""

    def __init__(self, file: EditorFile, catalog: Catalog, draw_number: DrawNumber, now: datetime) -> None:
        self._file, self._catalog, self._draw_number, self._now = file, catalog, draw_number, now
        self._widgets: dict[FileNode, WidgetValues] = {}
        self._indexes: dict[FileGraph, GraphIndex] = {}
        self._loaded_inputs: dict[FileNode, tuple[Slot, ...]] = {}
        self._promoted_values: dict[tuple[FileGraph, int], Any] = {}
        self._inputs_by_name: dict[FileGraph, dict[str, int]] = {}
        self._slots_by_name: dict[FileNode, dict[str, int]] = {}
        self._slots_by_link: dict[FileNode, dict[str | None, Slot]] = {}
        self._scope_count = 1
        self._steps = self._size = 0

    def convert(self) -> ConvertedGraph:
        graph: Graph = {}
        faults: list[InexactError] = []
        root = GraphScope(self._file.root)
        for scope, file_node in self._iterate_nodes(root):
            if len(graph) >= MAX_NODES:
                raise InexactError(f"It has more than {MAX_NODES} nodes.")
            node_id = scope.build_node_id(file_node)
            try:
                graph[node_id] = self._convert_node(scope, file_node)
            except TooLargeError:
                raise
            except InexactError as inexact:
                faults.append(InexactError(inexact.reason, inexact.node_id or node_id))
                graph[node_id] = GraphNode(file_node.type, {})
        for node in graph.values():
            broken = [name for name, value in node.inputs.items() if isinstance(value, list) and value[0] not in graph]
            for name in broken:
                del node.inputs[name]
        return ConvertedGraph(graph, tuple(faults))

    def _iterate_nodes(self, scope: GraphScope) -> Iterator[tuple[GraphScope, FileNode]]:
        """Yield every node that runs, with its scope."""
        for node in scope.graph.nodes.values():
            if node.type in EDITOR_ONLY_CLASSES or node.mode in {MUTED, BYPASSED}:
                self._count_size(node.size)
                continue
            if node.type in self._file.subgraphs:
                yield from self._iterate_nodes(self._enter_subgraph(scope, node))
            else:
                self._count_size(node.size)
                yield scope, node

    def _convert_node(self, scope: GraphScope, node: FileNode) -> GraphNode:
        widgets = self._load_widgets(node)
        values = {**widgets.values, **self._read_primitives(scope, node, widgets)}
        inputs: dict[str, Any] = {}
        for name, value in values.items():
            if value is not None:
                inputs[name] = _wrap_list(self._serialize_widget(scope, node, name, widgets.specs[name], value))
        for slot, declared in enumerate(node.inputs):
            match self._find_source(scope, node, slot):
                case PromotedValue(value):
                    self._count_size(count_characters(value))
                    inputs[declared.name] = _wrap_list(value)
                case LinkSource(source, output):
                    inputs[declared.name] = [source, output]
        for name, value in scope.promoted_values.get(node.id, {}).items():
            if name in widgets.specs and value is not None:
                check_type(name, widgets.specs[name], value)
                self._count_size(count_characters(value))
                inputs[name] = _wrap_list(value)
        inputs = {name: value for name, value in inputs.items() if value is not None}
        return GraphNode(node.type, inputs, {"title": node.title} if node.title else None)

    def _load_widgets(self, node: FileNode) -> WidgetValues:
        if node not in self._widgets:
            is_known = node.type in self._catalog.classes
            self._widgets[node] = (
                read_widgets(node, self._catalog.get_class_facts(node.type)) if is_known else _NO_WIDGETS
            )
        return self._widgets[node]

    def _serialize_widget(self, scope: GraphScope, node: FileNode, name: str, spec: InputSpec, value: Any) -> Any:
        """Return what the editor sends for a widget value: placeholders filled in and alternatives chosen."""
        if not isinstance(value, str):
            return value
        if name == "filename_prefix" and node.type in SAVING_CLASSES:
            return fill_placeholders(value, self._now, partial(self._read_widget_value, scope))
        return resolve_dynamic_prompt(value, self._draw_number) if spec.dynamic_prompts else value

    def _read_widget_value(self, scope: GraphScope, name: str, widget: str) -> Any:
        """Return the widget value that a placeholder names; None if there is none."""
        node = self._load_index(scope.graph).nodes_by_name.get(name)
        return self._load_widgets(node).values.get(widget) if node is not None else None

    def _read_primitives(self, scope: GraphScope, node: FileNode, widgets: WidgetValues) -> dict[str, Any]:
        """Return the values of linked primitive nodes by widget. The API format has no such nodes."""
        found: dict[str, Any] = {}
        self._count_steps(len(node.inputs))
        for declared in node.inputs:
            link = scope.graph.links.get(declared.link or "")
            source = scope.graph.nodes.get(link.origin) if link else None
            if source is None or source.type != PRIMITIVE or declared.name not in widgets.specs:
                continue
            value = scope.promoted_values.get(source.id, {}).get("value", _get_first_value(source.values))
            if value is _MISSING:
                continue
            if isinstance(value, str) and "%" in value and source.properties.get(REPLACES_PLACEHOLDERS):
                raise InexactError("A primitive node fills placeholders into a text.", scope.build_node_id(source))
            check_type(declared.name, widgets.specs[declared.name], value)
            self._count_size(count_characters(value))
            found[declared.name] = value
        return found

    def _find_source(self, scope: GraphScope, node: FileNode, slot: int) -> LinkSource | PromotedValue | None:
        """Follow the link of an input to its source, through bypassed and virtual nodes and through subgraphs."""
        seen: set[tuple[GraphScope, str, str, int]] = set()
        found: InputRef | LinkSource | PromotedValue | None = InputRef(scope, node, slot)
        while isinstance(found, InputRef):
            key = (found.scope, found.node.id, "in", found.slot)
            if key in seen:
                raise InexactError("Its links form a cycle.", scope.build_node_id(node))
            seen.add(key)
            found = self._follow_link(found, seen)
        return found

    def _follow_link(
        self, reached: InputRef, seen: set[tuple[GraphScope, str, str, int]]
    ) -> InputRef | LinkSource | PromotedValue | None:
        """Follow one link from an input to the next input, or to the source."""
        scope, node, slot, end_type = reached
        self._count_steps()
        if slot >= len(node.inputs):
            raise InexactError(f"It has no input {slot}.", scope.build_node_id(node))
        declared = node.inputs[slot]
        if declared.link is None:
            return None
        link = scope.graph.links.get(declared.link)
        if link is None:
            why = f"Its input {make_printable(declared.name)} has a link that is not in the file."
            raise InexactError(why, scope.build_node_id(node))
        if link.origin == INPUT_NODE and scope.subgraph_node is not None and scope.outer is not None:
            return self._leave_subgraph(scope, scope.subgraph_node, scope.outer, link, node)
        return self._follow_output(scope, link.origin, link.origin_slot, end_type or declared.type, seen)

    def _leave_subgraph(
        self, scope: GraphScope, subgraph_node: FileNode, outer: GraphScope, link: Link, node: FileNode
    ) -> InputRef | PromotedValue | None:
        """Continue from an input of a subgraph to the same input of the node that represents it."""
        if link.origin_slot >= len(scope.graph.inputs):
            raise InexactError("It is linked to an input that its subgraph does not have.", scope.build_node_id(node))
        name = scope.graph.inputs[link.origin_slot].name
        slot = self._find_slot_by_name(subgraph_node, name)
        if slot is None or subgraph_node.inputs[slot].link is None:
            return PromotedValue(scope.input_values[name]) if name in scope.input_values else None
        source = outer.graph.links.get(subgraph_node.inputs[slot].link or "")
        origin = outer.graph.nodes.get(source.origin) if source else None
        if origin is not None and origin.type == PRIMITIVE:
            raise InexactError("A primitive node is linked to a subgraph.", outer.build_node_id(subgraph_node))
        return InputRef(outer, subgraph_node, slot)

    def _follow_output(
        self, scope: GraphScope, node_id: str, slot: int, end_type: str, seen: set[tuple[GraphScope, str, str, int]]
    ) -> InputRef | LinkSource | None:
        """Continue from an output to the node that produces it, or to the input that it passes on."""
        while True:
            self._count_steps()
            node = scope.graph.nodes.get(node_id)
            if node is None:
                raise InexactError(f"A link comes from node {make_printable(node_id)}, which is not in the file.")
            key = (scope, node_id, "out", slot)
            if key in seen:
                raise InexactError("Its links form a cycle.", scope.build_node_id(node))
            seen.add(key)
            if node.mode in {MUTED, BYPASSED}:
                passed_input = self._find_passed_input(node, slot, end_type) if node.mode == BYPASSED else None
                return None if passed_input is None else InputRef(scope, node, passed_input)
            if node.type in EDITOR_ONLY_CLASSES:
                return InputRef(scope, node, slot, end_type) if slot < len(node.inputs) else None
            if node.type not in self._file.subgraphs:
                return LinkSource(scope.build_node_id(node), slot)
            scope = self._enter_subgraph(scope, node)
            link = self._find_output_link(scope, slot)
            if link is None:
                return None
            node_id, slot = link.origin, link.origin_slot

    def _find_output_link(self, scope: GraphScope, slot: int) -> Link | None:
        """Return the link inside the subgraph that feeds one of its outputs."""
        link = self._load_index(scope.graph).output_links.get(slot)
        if link is not None and link.origin == INPUT_NODE:
            raise InexactError("Its subgraph passes an input on as an output.", ":".join(scope.path))
        return link

    def _find_passed_input(self, node: FileNode, slot: int, end_type: str) -> int | None:
        """Return the index, in the file, of the input that a bypassed node passes on; None if there is none."""
        self._count_steps(len(node.inputs))
        inputs, output_type = node.inputs, node.outputs[slot].type if slot < len(node.outputs) else ANY
        if node.type in self._catalog.classes:
            facts = self._catalog.get_class_facts(node.type)
            if node not in self._loaded_inputs:
                self._loaded_inputs[node] = order_inputs_as_loaded(node, facts)
            inputs = self._loaded_inputs[node]
            output_type = facts.spec.outputs[slot] if slot < len(facts.spec.outputs) else output_type
        passed_input = find_bypass_slot(inputs, slot, output_type, end_type)
        return self._find_slot_by_name(node, inputs[passed_input].name) if passed_input is not None else None

    def _enter_subgraph(self, scope: GraphScope, subgraph_node: FileNode) -> GraphScope:
        """Return the scope of the subgraph that a node represents."""
        if subgraph_node.id not in scope.inner:
            self._scope_count += 1
            if len(scope.path) >= MAX_DEPTH or self._scope_count > MAX_NODES:
                raise InexactError(
                    "Its subgraphs are too many or nested too deeply.", scope.build_node_id(subgraph_node)
                )
            inner = GraphScope(
                self._file.subgraphs[subgraph_node.type], (*scope.path, subgraph_node.id), subgraph_node, scope
            )
            scope.inner[subgraph_node.id] = inner
            self._count_size(subgraph_node.size + len(inner.graph.inputs))
            self._read_subgraph_node_widgets(inner, subgraph_node)
        return scope.inner[subgraph_node.id]

    def _read_subgraph_node_widgets(self, scope: GraphScope, subgraph_node: FileNode) -> None:
        """Read the widget values of a subgraph node: those of its inputs, and those that older files promote."""
        if isinstance(subgraph_node.values, dict):
            raise InexactError(
                "The widgets of its subgraph are named, not in order.", scope.build_node_id(subgraph_node)
            )
        scope.input_values = dict(self._load_index(scope.graph).input_values)
        values = list(subgraph_node.values or ())
        scope.input_values |= dict(zip(scope.input_values, values, strict=False))
        if scope.outer is not None:
            promoted = scope.outer.promoted_values.get(subgraph_node.id, {})
            scope.input_values |= {name: value for name, value in promoted.items() if name in scope.input_values}
        for (inner_id, name), value in zip(list_promoted_widgets(subgraph_node), values, strict=False):
            self._set_promoted_value(scope, inner_id, name, value)

    def _set_promoted_value(self, scope: GraphScope, inner_id: str, name: str, value: Any) -> None:
        if inner_id == "-1":  # an input of the subgraph itself
            if name in scope.input_values:
                scope.input_values[name] = value
            return
        input_name = self._load_index(scope.graph).input_by_target.get((inner_id, name))
        if input_name is not None:
            scope.input_values[input_name] = value
            return
        node = scope.graph.nodes.get(inner_id)
        if node is not None:
            is_primitive = node.type == PRIMITIVE
            scope.promoted_values.setdefault(inner_id, {})["value" if is_primitive else name] = value

    def _load_index(self, graph: FileGraph) -> GraphIndex:
        if graph not in self._indexes:
            values = [self._find_promoted_value(graph, index) for index in range(len(graph.inputs))]
            input_values = {
                slot.name: value for slot, value in zip(graph.inputs, values, strict=True) if value is not _MISSING
            }
            input_by_target: dict[tuple[str, str], str] = {}
            for index, slot in enumerate(graph.inputs):
                if slot.name in input_values and (target := self._find_inner_target(graph, index)) is not None:
                    input_by_target.setdefault(target, slot.name)
            output_links: dict[int, Link] = {}
            for link in graph.links.values():
                if link.target == OUTPUT_NODE:
                    output_links.setdefault(link.target_slot, link)
            self._indexes[graph] = GraphIndex(_index_names(graph), output_links, input_values, input_by_target)
        return self._indexes[graph]

    def _count_steps(self, count: int = 1) -> None:
        self._steps += count
        if self._steps > MAX_LINK_STEPS:
            raise TooLargeError("Its links pass through too many nodes.")

    def _count_size(self, characters: int) -> None:
        self._size += characters
        if self._size > MAX_CHARACTERS:
            raise TooLargeError("Its subgraphs repeat too many nodes and values.")

    def _find_slot_by_name(self, node: FileNode, name: str) -> int | None:
        """Return the index of a node's first input with this name; None if there is none."""
        if node not in self._slots_by_name:
            self._slots_by_name[node] = {slot.name: index for index, slot in reversed([*enumerate(node.inputs)])}
        return self._slots_by_name[node].get(name)

    def _find_slot_by_link(self, node: FileNode, link_id: str) -> Slot | None:
        """Return a node's first input that has this link; None if there is none."""
        if node not in self._slots_by_link:
            self._slots_by_link[node] = {slot.link: slot for slot in reversed(node.inputs)}
        return self._slots_by_link[node].get(link_id)

    def _find_inner_target(self, graph: FileGraph, input_index: int) -> tuple[str, str] | None:
        """Return node id and name of the first inner input that a subgraph's input is linked to; None if none is."""
        for link_id in graph.input_links[input_index]:
            link = graph.links.get(link_id)
            node = graph.nodes.get(link.target) if link else None
            slot = self._find_slot_by_link(node, link_id) if node else None
            if node is not None and slot is not None:
                return node.id, slot.name
        return None

    def _find_promoted_value(self, graph: FileGraph, input_index: int, depth: int = 0) -> Any:
        """Return the value of the widget behind an input of a subgraph; ``_MISSING`` if there is none."""
        if depth > MAX_DEPTH:
            return _MISSING
        if (graph, input_index) not in self._promoted_values:
            self._promoted_values[graph, input_index] = _MISSING  # for a subgraph that contains itself
            self._promoted_values[graph, input_index] = self._search_promoted_value(graph, input_index, depth)
        return self._promoted_values[graph, input_index]

    def _search_promoted_value(self, graph: FileGraph, input_index: int, depth: int) -> Any:
        for link_id in graph.input_links[input_index]:
            link = graph.links.get(link_id)
            node = graph.nodes.get(link.target) if link else None
            slot = self._find_slot_by_link(node, link_id) if node else None
            if node is None or slot is None:
                continue
            subgraph = self._file.subgraphs.get(node.type)
            if subgraph is not None:
                inner_index = self._find_input(subgraph, slot.name)
                value = _MISSING if inner_index is None else self._find_promoted_value(subgraph, inner_index, depth + 1)
            elif node.type in self._catalog.classes:
                value = self._load_widgets(node).values.get(slot.name, _MISSING)
            else:
                value = None if slot.has_widget else _MISSING
            if value is not _MISSING:
                return value
        return _MISSING

    def _find_input(self, graph: FileGraph, name: str) -> int | None:
        """Return the index of a subgraph's first input with this name; None if there is none."""
        if graph not in self._inputs_by_name:
            self._inputs_by_name[graph] = {slot.name: index for index, slot in reversed([*enumerate(graph.inputs)])}
        return self._inputs_by_name[graph].get(name)


def _index_names(graph: FileGraph) -> dict[str, FileNode]:
    """Index nodes by name: the first with this ``NAME_PROPERTY``, otherwise the first with this title."""
    titled: dict[str, FileNode] = {}
    named: dict[str, FileNode] = {}
    for node in graph.nodes.values():
        if node.title is not None:
            titled.setdefault(node.title, node)
        if isinstance(node.properties.get(NAME_PROPERTY), str):
            named.setdefault(node.properties[NAME_PROPERTY], node)
    return titled | named


def find_bypass_slot(inputs: Sequence[Slot], slot: int, output_type: str, end_type: str) -> int | None:
    """Return the index of the input that a bypassed node passes on as an output; None if no type fits.

    Args:
        inputs: inputs of the node.
        slot: index of the output.
        output_type: type of the output.
        end_type: type of the input at the end of the link.
    """
    if not inputs:
        return None
    if end_type in {ANY, ""}:
        return slot if slot < len(inputs) else 0
    fits = [
        _can_link_to_slot(input_slot, output_type) and _can_link_to_slot(input_slot, end_type) for input_slot in inputs
    ]
    if slot < len(fits) and fits[slot]:
        return slot
    exact = next((index for index, input_slot in enumerate(inputs) if input_slot.type == end_type), None)
    return exact if exact is not None else next((index for index, is_fit in enumerate(fits) if is_fit), None)


def _can_link_to_slot(slot: Slot, kind: str) -> bool:
    """Whether the editor allows a link from an output of this type to the slot."""
    if {slot.type, kind} & {ANY, ""}:
        return True
    return not set(slot.type.lower().split(",")).isdisjoint(kind.lower().split(","))


def _get_first_value(values: Any) -> Any:
    return values[0] if isinstance(values, list) and values else _MISSING


def _wrap_list(value: Any) -> Any:
    """Wrap a list, because an unwrapped list in a graph is a link."""
    return {LITERAL_WRAPPER: value} if isinstance(value, list) else value
