"""Parses untrusted, decoded JSON of an editor file into the parts that the conversion needs."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

INPUT_NODE, OUTPUT_NODE = "-10", "-20"  # ids that represent the inputs and outputs of a subgraph inside it
ACTIVE, MUTED, BYPASSED = 0, 2, 4  # modes of a node; all other modes run like ACTIVE
PRIMITIVE, REROUTE = "PrimitiveNode", "Reroute"
EDITOR_ONLY_CLASSES = frozenset({PRIMITIVE, REROUTE, "Note", "MarkdownNote"})  # the API format has no such nodes
MAX_DEPTH = 16  # of nested subgraphs
MAX_ID = 256  # characters of a node's id; a converted id joins those of the enclosing subgraphs
MAX_TYPE = 500  # characters of the type of an input or output: one or more names, comma-separated
MAX_WIDGET_LIST = 65_536  # characters of a list of widgets that is a text; an entry has tens
ANY = "*"


class InexactError(Exception):
    """The file, or one of its nodes, cannot be converted exactly.

    Attributes:
        reason: why, as a sentence for the sender.
        node_id: id of the node in the converted graph, including enclosing subgraphs: "5:3". None for the whole file.
    """

    def __init__(self, reason: str, node_id: str | None = None) -> None:
        super().__init__(reason)
        self.reason, self.node_id = reason, node_id


class Slot(NamedTuple):
    """An input or output of a node, or of a subgraph.

    Attributes:
        link: id of the link to an input; None for outputs and unconnected inputs.
        has_widget: whether the file states that an input has a widget; older files do not state it.
    """

    name: str
    type: str
    link: str | None = None
    has_widget: bool = False


class Link(NamedTuple):
    """A link from an output to an input. ``origin`` and ``target`` are node ids."""

    origin: str
    origin_slot: int
    target: str
    target_slot: int


@dataclass(frozen=True, slots=True, eq=False)
class FileNode:
    """A node.

    Attributes:
        values: its widget values, a list by position or an object by name; None if the file has none.
        size: approximate number of characters in the file.
    """

    id: str
    type: str
    mode: int
    title: str | None
    inputs: tuple[Slot, ...]
    outputs: tuple[Slot, ...]
    values: list[Any] | dict[str, Any] | None
    properties: Mapping[str, Any]
    size: int


@dataclass(frozen=True, slots=True, eq=False)
class FileGraph:
    """The nodes of a file or of a subgraph. Only a subgraph has inputs and outputs."""

    nodes: dict[str, FileNode]
    links: dict[str, Link]
    inputs: tuple[Slot, ...] = ()
    outputs: tuple[Slot, ...] = ()
    input_links: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class EditorFile:
    """A whole file. ``subgraphs``: subgraphs by the type of the nodes that represent them."""

    root: FileGraph
    subgraphs: dict[str, FileGraph] = field(default_factory=dict)


def parse_file(raw: Mapping[str, Any]) -> EditorFile:
    """Parse a file. Unknown and malformed optional parts are ignored.

    Raises:
        InexactError: a required part is missing or malformed.
    """
    return EditorFile(_parse_graph(raw), dict(_parse_subgraphs(raw, 0)))


def _parse_subgraphs(raw: Mapping[str, Any], depth: int) -> Iterator[tuple[str, FileGraph]]:
    definitions = raw.get("definitions")
    listed = definitions.get("subgraphs") if isinstance(definitions, dict) else None
    if depth > MAX_DEPTH:
        raise InexactError(f"Its subgraphs are nested more than {MAX_DEPTH} deep.")
    for subgraph in _list_objects(listed):
        if isinstance(subgraph.get("id"), str):
            yield subgraph["id"], _parse_graph(subgraph)
            yield from _parse_subgraphs(subgraph, depth + 1)


def _parse_graph(raw: Mapping[str, Any]) -> FileGraph:
    nodes = [_parse_node(node) for node in _list_objects(raw.get("nodes"))]
    nodes_by_id = {node.id: node for node in nodes}
    if len(nodes_by_id) != len(nodes):
        raise InexactError("Two of its nodes have the same id.")
    inputs = _list_objects(raw.get("inputs"))
    return FileGraph(
        nodes=nodes_by_id,
        links=dict(_parse_links(raw.get("links"))),
        inputs=tuple(map(_parse_slot, inputs)),
        outputs=tuple(map(_parse_slot, _list_objects(raw.get("outputs")))),
        input_links=tuple(tuple(map(str, _list_or_empty(slot.get("linkIds")))) for slot in inputs),
    )


def _parse_node(raw: Mapping[str, Any]) -> FileNode:
    node_id, kind, mode = raw.get("id"), raw.get("type"), raw.get("mode", ACTIVE)
    if isinstance(node_id, bool) or not isinstance(node_id, int | str):
        raise InexactError("One of its nodes has no id.")
    if len(str(node_id)) > MAX_ID:
        raise InexactError(f"One of its nodes has an id of more than {MAX_ID} characters.")
    if not isinstance(kind, str):
        raise InexactError("It has no type.", str(node_id))
    values, properties, title = raw.get("widgets_values"), raw.get("properties"), raw.get("title")
    if not isinstance(values, list | dict):
        values = raw.get("widgets_values_named")
    return FileNode(
        id=str(node_id),
        type=kind,
        mode=mode if isinstance(mode, int) else ACTIVE,
        title=title if isinstance(title, str) else None,
        inputs=tuple(map(_parse_slot, _list_objects(raw.get("inputs")))),
        outputs=tuple(map(_parse_slot, _list_objects(raw.get("outputs")))),
        values=values if isinstance(values, list | dict) else None,
        properties=properties if isinstance(properties, dict) else {},
        size=count_characters(raw),
    )


def _parse_slot(raw: Mapping[str, Any]) -> Slot:
    name, kind, link = raw.get("name"), raw.get("type"), raw.get("link")
    if isinstance(kind, str) and len(kind) > MAX_TYPE:
        raise InexactError(f"One of its inputs or outputs has a type of more than {MAX_TYPE} characters.")
    return Slot(
        name=name if isinstance(name, str) else "",
        type=kind if isinstance(kind, str) else "COMBO" if isinstance(kind, list) else ANY,
        link=str(link) if isinstance(link, int | str) else None,
        has_widget=isinstance(raw.get("widget"), dict),
    )


def _parse_links(raw: Any) -> Iterator[tuple[str, Link]]:
    """Yield links by id. They are lists at the top level, and objects in subgraphs and in newer files."""
    for link in _list_or_empty(raw):
        match link:
            case [link_id, origin, int(origin_slot), target, int(target_slot), *_]:
                pass
            case {
                "id": link_id,
                "origin_id": origin,
                "origin_slot": int(origin_slot),
                "target_id": target,
                "target_slot": int(target_slot),
            }:
                pass
            case _:
                continue  # the editor leaves null in place of a deleted link
        if origin_slot >= 0 and target_slot >= 0:
            yield str(link_id), Link(str(origin), origin_slot, str(target), target_slot)


def _list_objects(raw: Any) -> list[dict[str, Any]]:
    return [item for item in _list_or_empty(raw) if isinstance(item, dict)]


def _list_or_empty(raw: Any) -> list[Any]:
    return raw if isinstance(raw, list) else []


def count_characters(value: Any) -> int:
    """Return the approximate length of a decoded JSON value as text. Iterative, since values may be nested deeply."""
    size, todo = 0, [value]
    while todo:
        part = todo.pop()
        if isinstance(part, str):
            size += len(part)
        elif isinstance(part, dict):
            todo += part
            todo += part.values()
        elif isinstance(part, list):
            todo += part
        size += 2
    return size


def list_promoted_widgets(node: FileNode) -> list[tuple[str, str]]:
    """List inner widgets that a subgraph node shows as its own (node id, widget), as files before front end 1.49 do.

    Raises:
        InexactError: one of the widgets refers to a nested subgraph, which is ambiguous, or the list is a text of more
            than ``MAX_WIDGET_LIST`` characters. Decoding holds the interpreter's lock.
    """
    listed = node.properties.get("proxyWidgets")
    if isinstance(listed, str):
        if len(listed) > MAX_WIDGET_LIST:
            raise InexactError(f"The widgets of a subgraph are a text of more than {MAX_WIDGET_LIST} characters.")
        try:
            listed = json.loads(listed)
        except (ValueError, RecursionError):
            listed = None
    found = []
    for widget in _list_or_empty(listed):
        match widget:
            case [str() | int() as node_id, str(name)]:
                found.append((str(node_id), name))
            case _:
                raise InexactError("It shows a widget of a nested subgraph.")
    return found
