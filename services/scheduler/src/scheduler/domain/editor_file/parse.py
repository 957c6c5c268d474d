"""Parses untrusted, decoded JSON of an editor file into the parts that the conversion needs."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

INPUT_NODE, OUTPUT_NODE = "-10", "-20"  # ids that represent the inputs and outputs of a subgraph inside it
ACTIVE, MUTED, BYPASSED = 0, 2, 4  # modes of a node; all other modes run like ACTIVE
PRIMITIVE, REROUTE = "PrimitiveNode", "Reroute"
VIRTUAL = frozenset({PRIMITIVE, REROUTE, "Note", "MarkdownNote"})  # exist in the editor only
MAX_DEPTH = 16  # of nested subgraphs
MAX_ID = 256  # characters of a node's id; the ids of nested subgraphs are joined
MAX_TYPE = 500  # characters of the type of an input or output: a name, or some names with commas
ANY = "*"


class InexactError(Exception):
    """The file, or one of its nodes, cannot be converted exactly.

    Attributes:
        why: the reason, as a sentence for the sender.
        node_id: id of the node in the converted graph, including enclosing subgraphs: "5:3". None for the whole file.
    """

    def __init__(self, why: str, node_id: str | None = None) -> None:
        super().__init__(why)
        self.why, self.node_id = why, node_id


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
        size: characters of its texts and values, about as many as it has in the file.
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
    """A whole file. ``subgraphs``: by the type of the nodes that represent them."""

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
    for one in _list_objects(listed):
        if isinstance(one.get("id"), str):
            yield one["id"], _parse_graph(one)
            yield from _parse_subgraphs(one, depth + 1)


def _parse_graph(raw: Mapping[str, Any]) -> FileGraph:
    nodes = [_parse_node(one) for one in _list_objects(raw.get("nodes"))]
    found = {node.id: node for node in nodes}
    if len(found) != len(nodes):
        raise InexactError("Two of its nodes have the same id.")
    inputs = _list_objects(raw.get("inputs"))
    return FileGraph(
        nodes=found,
        links=dict(_parse_links(raw.get("links"))),
        inputs=tuple(map(_parse_slot, inputs)),
        outputs=tuple(map(_parse_slot, _list_objects(raw.get("outputs")))),
        input_links=tuple(tuple(map(str, _list_or_empty(one.get("linkIds")))) for one in inputs),
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
        size=measure(raw),
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
    for one in _list_or_empty(raw):
        match one:
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
    return [one for one in _list_or_empty(raw) if isinstance(one, dict)]


def _list_or_empty(raw: Any) -> list[Any]:
    return raw if isinstance(raw, list) else []


def measure(value: Any) -> int:
    """Return about how many characters a decoded JSON value has as text. Iterative: values may be nested deeply."""
    size, todo = 0, [value]
    while todo:
        one = todo.pop()
        if isinstance(one, str):
            size += len(one)
        elif isinstance(one, dict):
            todo += one
            todo += one.values()
        elif isinstance(one, list):
            todo += one
        size += 2
    return size


def list_promoted_widgets(node: FileNode) -> list[tuple[str, str]]:
    """List inner widgets that a subgraph node shows as its own (node id, widget), as files before front end 1.49 do.

    Raises:
        InexactError: one of them refers to a nested subgraph, which is ambiguous.
    """
    listed = node.properties.get("proxyWidgets")
    if isinstance(listed, str):
        try:
            listed = json.loads(listed)
        except (ValueError, RecursionError):
            listed = None
    found = []
    for one in _list_or_empty(listed):
        match one:
            case [str() | int() as inner, str(name)]:
                found.append((str(inner), name))
            case _:
                raise InexactError("It shows a widget of a nested subgraph.")
    return found
