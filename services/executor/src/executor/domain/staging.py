"""Converts a tenant's graph into the graph for the node."""

import re
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from contracts.graph_policy.input_roles import ClassRoles
from contracts.graph_policy.registry import InputRole, is_stock_module
from contracts.scheduler.attempts import AttemptRef
from contracts.workflow import is_link
from executor.domain.catalog import NodeClasses
from executor.domain.constant_text import ConstantTexts
from executor.domain.output_names import DEFAULT_PREFIX, encode_file_name, encode_name_part, encode_prefix

PREFIX_INPUT = "filename_prefix"
MARKER_INPUT = "comfyfleet_attempt"  # no class declares it: ComfyUI ignores it, but its cache does not
MAX_ANCESTORS = 200  # upstream nodes that are searched for one that can carry the marker

_FOLDER = re.compile(r"folder|dir|path", re.IGNORECASE)
_NAME_PART = re.compile(r"(suffix|delimiter)\d*$", re.IGNORECASE)


def build_attempt_folder(ref: AttemptRef) -> str:
    """Return the attempt's unique folder in the node's output folder."""
    return f"{ref.job_id}/{ref.attempt}"


def stage_graph(
    graph: Mapping[str, Any],
    ref: AttemptRef,
    files: Mapping[str, str],
    classes: NodeClasses,
    expanding: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """Return the graph with all outputs in the attempt's own folder and uploads by their names on the node.

    A node's cache is keyed by all inputs. With a folder of their own, attempts never overwrite each other's files and
    never get an output from the cache, which may contain another tenant's graph. Output nodes without a name input
    (previews) and nodes that expand get a unique marker for the same reason. Everything else stays as submitted.

    Args:
        files: node file names by upload id. The scheduler has checked that ids occur only in file inputs.
        classes: the node's classes.
        expanding: classes that expand when they run. Served from the cache they would have no outputs.
    """
    folder, texts = build_attempt_folder(ref), ConstantTexts(graph)
    staged: dict[str, Any] = {}
    marked: set[str] = set()
    for node_id, node in graph.items():
        roles = classes.get_class_roles(node["class_type"])
        inputs = {name: _insert_files(name, value, files, roles) for name, value in node["inputs"].items()}
        naming = _list_output_name_inputs(node, roles, classes)
        staged[node_id] = {**node, "inputs": {**inputs, **_build_output_names(naming, inputs, folder, texts)}}
        if not naming and (classes.is_output_class(node["class_type"]) or node["class_type"] in expanding):
            marker_node = _find_marker_node(node_id, graph, classes)
            marked |= {marker_node} if marker_node is not None else set()
    for node_id in marked:
        staged[node_id]["inputs"][MARKER_INPUT] = folder
    return staged


def _list_output_name_inputs(node: Mapping[str, Any], roles: ClassRoles, classes: NodeClasses) -> dict[str, Any]:
    """Return the inputs of a node that name an output, with defaults for omitted ones."""
    spec = classes.specs.get(node["class_type"])
    declared = spec.inputs if spec is not None else {}
    naming = {name: accepted.default for name, accepted in declared.items() if _is_set_by_executor(name, roles)}
    return naming | {name: None for name in node["inputs"] if _names_output(name, roles)}


def _find_marker_node(node_id: str, graph: Mapping[str, Any], classes: NodeClasses) -> str | None:
    """Return the node whose inputs get the attempt's marker, so that ``node_id`` is not served from the cache.

    A stock class ignores an undeclared input; a custom class might not. So this is the nearest stock node that loads no
    model, from ``node_id`` upstream: it and everything down to ``node_id`` run again. If there is none, it is
    ``node_id`` itself, or None if its class accepts undeclared inputs.
    """
    waiting, seen = deque([node_id]), {node_id}
    while waiting and len(seen) <= MAX_ANCESTORS:
        current = waiting.popleft()
        if _can_carry_marker(graph[current]["class_type"], classes):
            return current
        for source in _list_linked_nodes(graph[current]):
            if source in graph and source not in seen:
                seen.add(source)
                waiting.append(source)
    return None if graph[node_id]["class_type"] in classes.with_undeclared_inputs else node_id


def _can_carry_marker(class_type: str, classes: NodeClasses) -> bool:
    spec = classes.specs.get(class_type)
    if spec is None or not is_stock_module(spec.module):
        return False
    roles = classes.get_class_roles(class_type)
    return not any(roles.find_role(name) is InputRole.MODEL for name in spec.inputs)


def _list_linked_nodes(node: Mapping[str, Any]) -> Iterator[str]:
    return (value[0] for value in node["inputs"].values() if is_link(value))


def _insert_files(name: str, value: Any, files: Mapping[str, str], roles: ClassRoles) -> Any:
    if isinstance(value, str):
        return files.get(value, value)
    if isinstance(value, dict) and roles.find_role(name) is InputRole.RECORD:
        return {part: files.get(inner, inner) if isinstance(inner, str) else inner for part, inner in value.items()}
    return value


def _is_set_by_executor(name: str, roles: ClassRoles) -> bool:
    """Whether a declared input names an output, so that its default must be replaced."""
    return _names_output(name, roles) and not _NAME_PART.search(name)


def _names_output(name: str, roles: ClassRoles) -> bool:
    """Whether an input names an output, also inside a dynamic input with a dotted name."""
    return name.rpartition(".")[2] == PREFIX_INPUT or roles.find_role(name) is InputRole.OUTPUT_NAME


def _build_output_names(
    naming: Mapping[str, Any], inputs: Mapping[str, Any], folder: str, texts: ConstantTexts
) -> dict[str, str]:
    """Return safe values for all inputs that name an output.

    If one of them names a folder, the others name files inside it and need no folder of their own.
    """
    with_folder = [name for name in naming if _FOLDER.search(name.rpartition(".")[2])]
    with_folder = with_folder or [name for name in naming if not _NAME_PART.search(name)] or list(naming)[:1]
    named: dict[str, str] = {}
    for name, default in naming.items():
        requested = texts.evaluate(inputs.get(name, default))
        if name in with_folder:
            named[name] = f"{folder}/{encode_prefix(requested or DEFAULT_PREFIX)}"
        elif _NAME_PART.search(name):
            named[name] = encode_name_part(requested or "")
        else:
            named[name] = encode_file_name(requested or DEFAULT_PREFIX)
    return named
