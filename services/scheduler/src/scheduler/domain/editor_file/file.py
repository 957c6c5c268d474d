"""The parts of an editor's file that a graph is made of, read from decoded JSON of anybody."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

INPUT_NODE, OUTPUT_NODE = "-10", "-20"  # stand for the inputs and outputs of a subgraph inside of it
ACTIVE, MUTED, BYPASSED = 0, 2, 4  # modes of a node; others run like ACTIVE
PRIMITIVE, REROUTE = "PrimitiveNode", "Reroute"
VIRTUAL = frozenset({PRIMITIVE, REROUTE, "Note", "MarkdownNote"})  # exist in the editor only
MAX_DEPTH = 16  # of subgraphs inside of each other
ANY = "*"


class InexactError(Exception):
    """The file, or a node of it, cannot be made a graph exactly.

    Attributes:
        node_id: as a graph names the node, with the subgraphs around it: "5:3". None for the whole file.
    """

    def __init__(self, why: str, node_id: str | None = None) -> None:
        super().__init__(why)
        self.why, self.node_id = why, node_id


class Slot(NamedTuple):
    """An input or output of a node, or of a subgraph.

    Attributes:
        link: of an input, the id of what is connected.
        has_widget: of an input, whether the file says that a widget belongs to it; older files do not.
    """

    name: str
    type: str
    link: str | None = None
    has_widget: bool = False


class Link(NamedTuple):
    """From an output to an input. ``origin`` and ``target`` are ids of nodes."""

    origin: str
    origin_slot: int
    target: str
    target_slot: int


@dataclass(frozen=True, slots=True, eq=False)
class FileNode:
    """A node. ``values``: of its widgets, a list by place or an object by name; None where the file has none."""

    id: str
    type: str
    mode: int
    title: str | None
    inputs: tuple[Slot, ...]
    outputs: tuple[Slot, ...]
    values: list[Any] | dict[str, Any] | None
    properties: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class FileGraph:
    """The nodes of a file, or of a subgraph, which also has inputs and outputs."""

    nodes: dict[str, FileNode]
    links: dict[str, Link]
    inputs: tuple[Slot, ...] = ()
    outputs: tuple[Slot, ...] = ()
    input_links: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class EditorFile:
    """A whole file. ``subgraphs``: by the type that their nodes have."""

    root: FileGraph
    subgraphs: dict[str, FileGraph] = field(default_factory=dict)


def read_file(raw: Mapping[str, Any]) -> EditorFile:
    """Read a file.

    Raises:
        InexactError: a part of it is not what it should be.
    """
    return EditorFile(_graph(raw), dict(_subgraphs(raw, 0)))


def _subgraphs(raw: Mapping[str, Any], depth: int) -> Iterator[tuple[str, FileGraph]]:
    definitions = raw.get("definitions")
    listed = definitions.get("subgraphs") if isinstance(definitions, dict) else None
    if depth > MAX_DEPTH:
        raise InexactError(f"Its subgraphs are nested more than {MAX_DEPTH} deep.")
    for one in _objects(listed):
        if isinstance(one.get("id"), str):
            yield one["id"], _graph(one)
            yield from _subgraphs(one, depth + 1)


def _graph(raw: Mapping[str, Any]) -> FileGraph:
    nodes = [_node(one) for one in _objects(raw.get("nodes"))]
    found = {node.id: node for node in nodes}
    if len(found) != len(nodes):
        raise InexactError("Two of its nodes have the same id.")
    inputs = _objects(raw.get("inputs"))
    return FileGraph(
        nodes=found,
        links=dict(_links(raw.get("links"))),
        inputs=tuple(map(_slot, inputs)),
        outputs=tuple(map(_slot, _objects(raw.get("outputs")))),
        input_links=tuple(tuple(map(str, _list(one.get("linkIds")))) for one in inputs),
    )


def _node(raw: Mapping[str, Any]) -> FileNode:
    node_id, kind, mode = raw.get("id"), raw.get("type"), raw.get("mode", ACTIVE)
    if isinstance(node_id, bool) or not isinstance(node_id, int | str):
        raise InexactError("One of its nodes has no id.")
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
        inputs=tuple(map(_slot, _objects(raw.get("inputs")))),
        outputs=tuple(map(_slot, _objects(raw.get("outputs")))),
        values=values if isinstance(values, list | dict) else None,
        properties=properties if isinstance(properties, dict) else {},
    )


def _slot(raw: Mapping[str, Any]) -> Slot:
    name, kind, link = raw.get("name"), raw.get("type"), raw.get("link")
    return Slot(
        name=name if isinstance(name, str) else "",
        type=kind if isinstance(kind, str) else "COMBO" if isinstance(kind, list) else ANY,
        link=str(link) if isinstance(link, int | str) else None,
        has_widget=isinstance(raw.get("widget"), dict),
    )


def _links(raw: Any) -> Iterator[tuple[str, Link]]:
    """Links are lists at the top level, and objects in subgraphs and in newer files."""
    for one in _list(raw):
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
                continue  # the editor leaves null where a link was
        if origin_slot >= 0 and target_slot >= 0:
            yield str(link_id), Link(str(origin), origin_slot, str(target), target_slot)


def _objects(raw: Any) -> list[dict[str, Any]]:
    return [one for one in _list(raw) if isinstance(one, dict)]


def _list(raw: Any) -> list[Any]:
    return raw if isinstance(raw, list) else []


def promoted_widgets(node: FileNode) -> list[tuple[str, str]]:
    """Widgets inside of a subgraph that its node shows as its own, as files before front end 1.49 tell it.

    Raises:
        InexactError: one of them is named in a way that may mean several.
    """
    listed = node.properties.get("proxyWidgets")
    if isinstance(listed, str):
        try:
            listed = json.loads(listed)
        except (ValueError, RecursionError):
            listed = None
    found = []
    for one in _list(listed):
        match one:
            case [str() | int() as inner, str(name)]:
                found.append((str(inner), name))
            case _:
                raise InexactError("It shows a widget of a subgraph inside of its subgraph.")
    return found
