"""The vocabulary of workflows: ComfyUI graphs in API format, and what can be said of one without knowing any node.

A graph is ``{node_id: {"class_type": str, "inputs": {...}, "_meta": {...}?}}``; a link is ``[node_id, output_index]``.
What would kill or poison a node (ComfyUI 0.33: nodes without ``inputs``, stray keys, cycles) is refused here.
"""

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from itertools import islice
from typing import Any, NamedTuple, TypeGuard

from contracts.wire.errors import FieldError

MAX_ERRORS = 100  # of one graph; who has more finds the rest with the next request
MAX_CYCLE = 10  # nodes of a cycle that its error names
MAX_NODES = 2_000  # real graphs have tens to hundreds; every node costs the fleet a validation
MAX_BATCH = 4_096  # ComfyUI's own upper bound of batch_size
MIN_INTEGER, MAX_INTEGER = -(2**63), 2**64 - 1  # a seed's largest; wider ones become floats on the way, or nothing

NODE_KEYS = frozenset({"class_type", "inputs", "_meta"})
MODEL_SUFFIXES = (".safetensors", ".ckpt", ".sft", ".gguf", ".pt", ".pth", ".bin")
PREVIEW_CLASSES = frozenset({"PreviewImage", "MaskPreview"})
IMAGE_OUTPUT_CLASSES = frozenset({"SaveImage", "SaveAnimatedWEBP", "SaveAnimatedPNG", *PREVIEW_CLASSES})

_ALWAYS_FINE = frozenset({str, float, bool, type(None)})
_TOO_WIDE = {
    "code": "integer_out_of_range",
    "message": f"An integer in a workflow is from {MIN_INTEGER} to {MAX_INTEGER}.",
}
_NO_LINK = {
    "code": "broken_link",
    "message": "A link is [id of a node in this workflow, index of one of its outputs]; "
    'a list as a value is written {"__value__": [...]}.',
}


class GraphNode(NamedTuple):
    """One node of a graph."""

    class_type: str
    inputs: dict[str, Any]


Graph = dict[str, GraphNode]


def read_graph(raw: object, pointer: str = "") -> tuple[Graph, tuple[FieldError, ...]]:
    """Read a graph from decoded JSON.

    Args:
        raw: anything that JSON can hold.
        pointer: JSON Pointer of the graph in its request, put before every error's.

    Returns:
        The graph and no errors, or an unfinished graph and the first ``MAX_ERRORS`` of them. A graph without errors has
        1 to ``MAX_NODES`` nodes, only whole links to nodes that exist, no cycle, and no integer outside
        ``MIN_INTEGER`` to ``MAX_INTEGER``.
    """
    if _is_ui_format(raw):
        message = (
            "This is ComfyUI's UI format. Send the API format: in ComfyUI, menu Workflow, Export (API); "
            "older ones: Settings, Enable Dev mode, then Save (API Format)."
        )
        return {}, (FieldError(pointer=pointer, code="workflow_ui_format", message=message),)
    if not isinstance(raw, dict) or not raw:
        message = "A workflow is a non-empty object of nodes in ComfyUI's API format (Export (API) in the menu)."
        return {}, (FieldError(pointer=pointer, code="workflow_not_a_graph", message=message),)
    if len(raw) > MAX_NODES:
        message = f"A workflow has at most {MAX_NODES} nodes; this one has {len(raw)}."
        return {}, (FieldError(pointer=pointer, code="workflow_too_large", message=message),)
    graph, errors = _read_nodes(raw, pointer)
    if not errors:
        errors.extend(islice(_value_errors(graph, raw, pointer), MAX_ERRORS))
    if not errors and (knot := _cycle(graph)):
        shown = knot if len(knot) <= MAX_CYCLE else [*knot[: MAX_CYCLE - 1], f"{len(knot) - MAX_CYCLE} more", knot[-1]]
        message = f"The nodes {' -> '.join(shown)} feed each other in a circle."
        errors.append(
            FieldError(pointer=f"{pointer}/{knot[0]}", code="workflow_cycle", message=message, node_id=knot[0])
        )
    return graph, tuple(errors)


def is_model(value: object) -> TypeGuard[str]:
    """Whether this is the name of a model file."""
    return isinstance(value, str) and value.endswith(MODEL_SUFFIXES)


def estimate_images(graph: Graph) -> int:
    """How many images the graph will make, as far as its literals tell; at least 1.

    Saved and previewed images are counted apart and the larger count holds, so a preview of what is saved is free.
    """
    saved = previewed = 0
    for node_id, node in graph.items():
        if node.class_type in PREVIEW_CLASSES:
            previewed += _batch(graph, node_id)
        elif node.class_type in IMAGE_OUTPUT_CLASSES:
            saved += _batch(graph, node_id)
    return max(saved, previewed, 1)


def ancestors(graph: Graph, node_id: str) -> Iterator[str]:
    """The node and everything that feeds it, each once."""
    seen, todo = {node_id}, [node_id]
    while todo:
        current = todo.pop()
        yield current
        for source in _sources(graph[current]):
            if source not in seen:
                seen.add(source)
                todo.append(source)


def _is_ui_format(raw: object) -> bool:
    """Whether this is what ComfyUI's editor saves: lists of nodes and links instead of nodes by id."""
    return isinstance(raw, dict) and isinstance(raw.get("nodes"), list) and isinstance(raw.get("links"), list)


def _read_nodes(raw: dict[Any, Any], pointer: str) -> tuple[Graph, list[FieldError]]:
    """The nodes, and what is wrong with their shape."""
    graph: Graph = {}
    errors: list[FieldError] = []
    for node_id, body in raw.items():
        node = _read_node(body)
        if node is not None:
            graph[str(node_id)] = node
            continue
        message = 'A node is {"class_type": text, "inputs": object} and may have "_meta"; nothing else.'
        errors.append(
            FieldError(pointer=f"{pointer}/{node_id}", code="node_malformed", message=message, node_id=str(node_id))
        )
        if len(errors) == MAX_ERRORS:
            break
    return graph, errors


def _read_node(body: object) -> GraphNode | None:
    """The node, or None where it has another shape."""
    if not isinstance(body, dict) or not body.keys() <= NODE_KEYS:
        return None
    name, inputs, meta = body.get("class_type"), body.get("inputs"), body.get("_meta")
    if not isinstance(name, str) or not isinstance(inputs, dict) or not (meta is None or isinstance(meta, dict)):
        return None
    return GraphNode(name, inputs)


def _value_errors(graph: Graph, raw: dict[Any, Any], pointer: str) -> Iterator[FieldError]:
    """Every input with an integer that would not arrive as it was sent, or a list that is no link; then metadata."""
    for node_id, node in graph.items():
        for name, value in node.inputs.items():
            kind = type(value)
            if kind in _ALWAYS_FINE or (kind is int and MIN_INTEGER <= value <= MAX_INTEGER):
                continue
            if fault := _fault(value, graph):
                yield FieldError(pointer=f"{pointer}/{node_id}/inputs/{name}", node_id=node_id, input=name, **fault)
    for node_id, body in raw.items():
        if "_meta" in body and _is_too_wide(body["_meta"]):
            yield FieldError(pointer=f"{pointer}/{node_id}/_meta", node_id=str(node_id), **_TOO_WIDE)


def _fault(value: object, graph: Graph) -> dict[str, str] | None:
    """What is wrong with a value, if anything is."""
    if isinstance(value, list) and _is_link(value, graph):
        return None
    if _is_too_wide(value):
        return _TOO_WIDE
    return _NO_LINK if isinstance(value, list) else None


def _is_too_wide(value: object) -> bool:
    """Whether it is, or holds, an integer out of range."""
    if isinstance(value, int):
        return not MIN_INTEGER <= value <= MAX_INTEGER
    if isinstance(value, dict):
        return any(map(_is_too_wide, value.values()))
    return isinstance(value, list) and any(map(_is_too_wide, value))


def _is_link(value: list[Any], graph: Graph) -> bool:
    """Whether this is a whole link into the graph; the output's upper bound needs the node's class."""
    if len(value) != 2:
        return False
    source, slot = value
    return isinstance(source, str) and source in graph and type(slot) is int and 0 <= slot <= MAX_INTEGER


def _cycle(graph: Graph) -> list[str]:
    """One cycle as a list of node ids, or nothing."""
    if _is_ordered(graph):
        return []
    try:
        TopologicalSorter({node_id: _sources(node) for node_id, node in graph.items()}).prepare()
    except CycleError as found:
        knot: list[str] = found.args[1]
        return knot
    return []


def _sources(node: GraphNode) -> list[str]:
    return [value[0] for value in node.inputs.values() if isinstance(value, list)]


def _is_ordered(graph: Graph) -> bool:
    """Whether every node comes behind all that feed it: then there is no cycle, and no need to look for one."""
    before: set[str] = set()
    for node_id, node in graph.items():
        if not before.issuperset(_sources(node)):
            return False
        before.add(node_id)
    return True


def _batch(graph: Graph, node_id: str) -> int:
    """The size of the batch that reaches a node: the largest batch made upstream, times every repetition."""
    made, repeated = 1, 1
    for ancestor in ancestors(graph, node_id):
        inputs = graph[ancestor].inputs
        made = max(made, _count(inputs.get("batch_size")))
        repeated *= _count(inputs.get("amount"))
    return min(made * repeated, MAX_BATCH)


def _count(value: object) -> int:
    """A literal count, or 1 where the input is absent, linked or nonsense."""
    return value if type(value) is int and 0 < value <= MAX_BATCH else 1
