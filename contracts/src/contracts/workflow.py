"""Workflows: ComfyUI graphs in API format, and checks that need no knowledge of node classes.

A graph is ``{node_id: {"class_type": str, "inputs": {...}, "_meta": {...}?}}``; a link is ``[node_id, output_index]``.
This module only checks that shape. Links and values are checked against a node's catalog, and only for nodes that an
output depends on.
"""

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from itertools import islice
from typing import Any, NamedTuple, TypeGuard

from contracts.wire.errors import FieldError
from contracts.wire.show_values import format_value, make_printable
from contracts.wire.text import escape_pointer_key

MAX_ERRORS = 100  # maximum number of errors of one graph
MAX_CYCLE = 10  # nodes of a cycle listed in its error
MAX_NODES = 2_000  # real graphs have tens to hundreds; every node takes time to validate
MAX_LINKS = 20_000  # real graphs have two or three per node
MIN_INTEGER, MAX_INTEGER = -(2**63), 2**64 - 1  # range of seeds; larger integers lose precision

LINK_PARTS = 2
LITERAL_WRAPPER = "__value__"  # {"__value__": [...]} is a literal list; a bare list is a link
MODEL_SUFFIXES = (".safetensors", ".ckpt", ".sft", ".gguf", ".pt", ".pth", ".bin")

_TYPES_WITHOUT_INTEGERS = frozenset({str, float, bool, type(None)})
_INTEGER_RANGE_CODE = "integer_out_of_range"
_INTEGER_RANGE_MESSAGE = f"An integer in a workflow must be between {MIN_INTEGER} and {MAX_INTEGER}."


class GraphNode(NamedTuple):
    """One node of a graph.

    Attributes:
        meta: editor metadata such as a title.
    """

    class_type: str
    inputs: dict[str, Any]
    meta: dict[str, Any] | None = None


Graph = dict[str, GraphNode]


def read_graph(raw: object, pointer: str = "") -> tuple[Graph, tuple[FieldError, ...]]:
    """Parse a graph from decoded JSON.

    Args:
        raw: any JSON value.
        pointer: JSON Pointer of the graph in its request, the prefix of every error's pointer.

    Returns:
        The graph and no errors, or a partial graph and the first ``MAX_ERRORS`` errors. A graph without errors has 1 to
        ``MAX_NODES`` nodes, at most ``MAX_LINKS`` links, and no integer outside ``MIN_INTEGER`` to ``MAX_INTEGER``. Its
        links may be broken or form cycles (see ``has_valid_links``). Node keys that ComfyUI does not know are dropped.
    """
    if is_ui_format(raw):
        message = (
            "This is ComfyUI's UI format. Send the API format: in ComfyUI, menu Workflow, Export (API); "
            "older ones: Settings, Enable Dev mode, then Save (API Format)."
        )
        return {}, (FieldError(pointer=pointer, code="workflow_ui_format", message=message),)
    if not isinstance(raw, dict) or not raw:
        message = (
            "The workflow is empty, or not an object of nodes. Send it in ComfyUI's API format: in ComfyUI, menu "
            "Workflow, Export (API)."
        )
        return {}, (FieldError(pointer=pointer, code="workflow_not_a_graph", message=message),)
    if len(raw) > MAX_NODES:
        message = f"A workflow has at most {MAX_NODES} nodes; this one has {len(raw)}."
        return {}, (FieldError(pointer=pointer, code="workflow_too_large", message=message),)
    graph, errors = _read_nodes(raw, pointer)
    if not errors:
        errors.extend(islice(_find_integer_range_errors(graph, pointer), MAX_ERRORS))
    links = sum(type(value) is list for node in graph.values() for value in node.inputs.values())
    if not errors and links > MAX_LINKS:
        message = f"A workflow has at most {MAX_LINKS} links; this one has {links}."
        errors.append(FieldError(pointer=pointer, code="workflow_too_large", message=message))
    return graph, tuple(errors)


def is_ui_format(raw: object) -> bool:
    """Whether this is a file of ComfyUI's editor: lists of nodes and links instead of nodes by id."""
    return isinstance(raw, dict) and isinstance(raw.get("nodes"), list) and isinstance(raw.get("links"), list)


def graph_to_json(graph: Graph) -> dict[str, Any]:
    """Serialize the graph to the JSON that a node accepts."""
    return {
        node_id: {"class_type": node.class_type, "inputs": node.inputs} | ({"_meta": node.meta} if node.meta else {})
        for node_id, node in graph.items()
    }


def is_model_file_name(value: object) -> TypeGuard[str]:
    """Whether this is the name of a model file."""
    return isinstance(value, str) and value.endswith(MODEL_SUFFIXES)


def ancestors(graph: Graph, node_id: str) -> Iterator[str]:
    """Yield the node and all nodes that it depends on, each once."""
    seen, todo = {node_id}, [node_id]
    while todo:
        current = todo.pop()
        yield current
        for source in _iterate_linked_nodes(graph, current):
            if source not in seen:
                seen.add(source)
                todo.append(source)


def is_link(value: object) -> bool:
    """Whether ComfyUI 0.33 treats this as a link when it runs a graph: a text and a number."""
    return (
        isinstance(value, list)
        and len(value) == LINK_PARTS
        and isinstance(value[0], str)
        and isinstance(value[1], int | float)
    )


def is_topologically_sorted(graph: Graph) -> bool:
    """Whether every node comes after its sources; then there is no cycle."""
    before: set[str] = set()
    for node_id in graph:
        if not before.issuperset(_iterate_linked_nodes(graph, node_id)):
            return False
        before.add(node_id)
    return True


def has_valid_links(graph: Graph) -> bool:
    """Whether every link leads to an output of a node of the graph and there is no cycle.

    True for every graph that admission accepted. It does not check how many outputs a class has.
    """
    for node in graph.values():
        for value in node.inputs.values():
            if is_link(value) and not (value[0] in graph and type(value[1]) is int and value[1] >= 0):
                return False
    return not _find_cycle(graph)


def find_cycle_error(graph: Graph, pointer: str = "") -> FieldError | None:
    """Return an error about one cycle of the graph, if there is one."""
    cycle = _find_cycle(graph)
    if not cycle:
        return None
    shown = cycle if len(cycle) <= MAX_CYCLE else [*cycle[: MAX_CYCLE - 1], f"{len(cycle) - MAX_CYCLE} more", cycle[-1]]
    message = f"The links between the nodes {' -> '.join(shown)} form a cycle. Remove one of them."
    return FieldError(
        pointer=f"{pointer}/{escape_pointer_key(cycle[0])}", code="workflow_cycle", message=message, node_id=cycle[0]
    )


def _read_nodes(raw: dict[Any, Any], pointer: str) -> tuple[Graph, list[FieldError]]:
    """Parse the nodes; returns errors about their shape."""
    graph: Graph = {}
    errors: list[FieldError] = []
    for node_id, body in raw.items():
        fault = _find_shape_fault(body)
        if fault is None:
            meta = body["_meta"] if isinstance(body.get("_meta"), dict) else None
            graph[str(node_id)] = GraphNode(body["class_type"], body["inputs"], meta)
            continue
        message = f"Node {format_value(str(node_id))} {fault}"
        errors.append(
            FieldError(
                pointer=f"{pointer}/{escape_pointer_key(node_id)}",
                code="node_malformed",
                message=message,
                node_id=str(node_id),
            )
        )
        if len(errors) == MAX_ERRORS:
            break
    return graph, errors


def _find_shape_fault(body: object) -> str | None:
    """Return why this is not a valid node, if it is not."""
    if not isinstance(body, dict):
        return 'is not an object. A node is {"class_type": text, "inputs": object}.'
    if not isinstance(body.get("class_type"), str):
        return 'has no class_type. Give it the name of its class as text, such as "KSampler".'
    if not isinstance(body.get("inputs"), dict):
        return "has no inputs. Give it an object of values and links by name, or {} if it has none."
    return None


def _find_integer_range_errors(graph: Graph, pointer: str) -> Iterator[FieldError]:
    """Return an error for every input, then for metadata, with an integer that would lose precision."""
    for node_id, node in graph.items():
        for name, value in node.inputs.items():
            kind = type(value)
            if kind in _TYPES_WITHOUT_INTEGERS or (kind is int and MIN_INTEGER <= value <= MAX_INTEGER):
                continue
            if exceeds_integer_range(value):
                what = f"{make_printable(node.class_type)}.{make_printable(name)} is {format_value(value)}."
                where = f"{pointer}/{escape_pointer_key(node_id)}/inputs/{escape_pointer_key(name)}"
                yield FieldError(
                    pointer=where,
                    node_id=node_id,
                    input=name,
                    code=_INTEGER_RANGE_CODE,
                    message=f"{what} {_INTEGER_RANGE_MESSAGE}",
                )
        if exceeds_integer_range(node.meta):
            where = f"{pointer}/{escape_pointer_key(node_id)}/_meta"
            yield FieldError(pointer=where, node_id=node_id, code=_INTEGER_RANGE_CODE, message=_INTEGER_RANGE_MESSAGE)


def exceeds_integer_range(value: object) -> bool:
    """Whether a value is or contains an integer outside ``MIN_INTEGER`` to ``MAX_INTEGER``."""
    if isinstance(value, int):
        return not MIN_INTEGER <= value <= MAX_INTEGER
    if isinstance(value, dict):
        return any(map(exceeds_integer_range, value.values()))
    return isinstance(value, list) and any(map(exceeds_integer_range, value))


def _find_cycle(graph: Graph) -> list[str]:
    """Return one cycle as a list of node ids; empty if there is none."""
    if is_topologically_sorted(graph):
        return []
    try:
        TopologicalSorter({node_id: _iterate_linked_nodes(graph, node_id) for node_id in graph}).prepare()
    except CycleError as found:
        cycle: list[str] = found.args[1]
        return cycle
    return []


def _iterate_linked_nodes(graph: Graph, node_id: str) -> list[str]:
    """Return the nodes that a node is linked to."""
    return [value[0] for value in graph[node_id].inputs.values() if is_link(value) and value[0] in graph]
