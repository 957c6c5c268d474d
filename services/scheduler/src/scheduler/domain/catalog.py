"""What a node can run, and whether a workflow is among it.

A catalog is read from a node's ``object_info``. A workflow is checked against it before it is queued, so that what
ComfyUI would refuse (its validation, 0.33) is refused by us, at once and with what would be valid.
"""

import base64
import binascii
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any

from pydantic import TypeAdapter, ValidationError

from contracts.catalog import ClassSpec, InputSpec
from contracts.graph_policy.decision import GraphRules
from contracts.graph_policy.policy import TenantPolicy
from contracts.wire.errors import FieldError
from contracts.workflow import Graph, GraphNode

MAX_CATALOG_BYTES = 32 << 20  # a stock node's is 0.7 MB; packs multiply it
MAX_ALLOWED = 50
STRICT = TenantPolicy()

_CLASSES = TypeAdapter(dict[str, ClassSpec])


class Catalog:
    """What one node can run."""

    def __init__(self, classes: dict[str, ClassSpec]) -> None:
        self.classes = classes
        self.rules = GraphRules(classes)

    def satisfies(self, needs: Iterable[str]) -> bool:
        """Whether the node has every class and every option that a workflow needs (see ``needs_of``)."""
        return all(self._has(need) for need in needs)

    def _has(self, need: str) -> bool:
        name, _, choice = need.partition(".")
        spec = self.classes.get(name)
        if spec is None or not choice:
            return spec is not None
        field, _, value = choice.partition("=")
        accepted = spec.inputs.get(field)
        return accepted is None or accepted.options is None or value in accepted.options


def read_catalog(digest: str, classes_zlib: str) -> Catalog | None:
    """The catalog in a report, or None where the report is broken, too large or not what its digest says."""
    try:
        inflate = zlib.decompressobj()
        body = inflate.decompress(base64.b64decode(classes_zlib, validate=True), MAX_CATALOG_BYTES)
        if not inflate.eof or hashlib.sha256(body).hexdigest() != digest:
            return None
        return Catalog(_CLASSES.validate_json(body))
    except (binascii.Error, zlib.error, ValidationError, json.JSONDecodeError):
        return None


def needs_of(graph: Graph, catalog: Catalog) -> tuple[str, ...]:
    """What a node must have to run the graph: ``Class`` and ``Class.input=option``, sorted, each once."""
    needs = set()
    for node in graph.values():
        needs.add(node.class_type)
        for name, value in node.inputs.items():
            accepted = catalog.classes[node.class_type].inputs.get(name)
            if accepted and accepted.options is not None and isinstance(value, str):
                needs.add(f"{node.class_type}.{name}={value}")
    return tuple(sorted(needs))


def check(
    graph: Graph, catalog: Catalog, uploads: frozenset[str], policy: TenantPolicy = STRICT
) -> tuple[FieldError, ...]:
    """Everything that keeps this node from running the graph for a tenant with this policy; nothing if it can.

    Pointers start at ``/workflow``. An input that takes a file takes an id of ``uploads`` and nothing else: no name, no
    path, no link. So no graph reads what another job has on the node.
    """
    errors = [error for node_id, node in graph.items() for error in _check_node(graph, node_id, node, catalog, uploads)]
    errors.extend(catalog.rules.violations(graph, policy, uploads))
    if not errors and not any(catalog.classes[node.class_type].output_node for node in graph.values()):
        message = "Nothing in this workflow keeps its result: add an output node such as SaveImage."
        errors.append(FieldError(pointer="/workflow", code="workflow_without_output", message=message))
    return tuple(errors)


def _check_node(
    graph: Graph, node_id: str, node: GraphNode, catalog: Catalog, uploads: frozenset[str]
) -> Iterator[FieldError]:
    spec = catalog.classes.get(node.class_type)
    if spec is None:
        near = get_close_matches(node.class_type, catalog.classes, n=5)
        yield FieldError(
            pointer=f"/workflow/{node_id}/class_type",
            code="unknown_node_class",
            message="No node of the fleet has this class.",
            node_id=node_id,
            allowed=tuple(near) or None,
        )
        return
    for name, accepted in spec.inputs.items():
        if accepted.required and name not in node.inputs and not _is_dynamic(accepted):
            yield _error(node_id, name, "required_input_missing", f"{name} is required.")
    yield from _check_inputs(graph, node_id, catalog, uploads)


def _check_inputs(graph: Graph, node_id: str, catalog: Catalog, uploads: frozenset[str]) -> Iterator[FieldError]:
    node = graph[node_id]
    spec = catalog.classes[node.class_type]
    for name, value in node.inputs.items():
        known = spec.inputs.get(name)
        if known is None or catalog.rules.judges(node.class_type, name):
            continue
        if isinstance(value, list):
            error = _link_error(node_id, name, value, known, catalog.classes.get(graph[value[0]].class_type))
        elif isinstance(value, str) and value in uploads:
            message = f"{name} takes no file; the id of an upload goes where a node takes one."
            error = _error(node_id, name, "upload_misplaced", message)
        else:
            error = _value_error(node_id, name, value, known)
        if error:
            yield error


def _link_error(
    node_id: str, name: str, link: list[Any], accepted: InputSpec, source: ClassSpec | None
) -> FieldError | None:
    source_id, slot = link
    if source is None:
        return None  # said already, where that node is checked
    if slot >= len(source.outputs):
        message = f"Node {source_id} has {len(source.outputs)} outputs, counted from 0."
        return _error(node_id, name, "broken_link", message, tuple(range(len(source.outputs))))
    given = source.outputs[slot]
    if given != accepted.type and _is_plain(given) and _is_plain(accepted.type):
        return _error(node_id, name, "link_type_mismatch", f"{name} takes {accepted.type}, the link gives {given}.")
    return None


def _value_error(node_id: str, name: str, value: Any, accepted: InputSpec) -> FieldError | None:
    if accepted.options is not None:
        if value in accepted.options:
            return None
        message = f"{name} is none of the {len(accepted.options)} values that the fleet has."
        return _error(node_id, name, "value_not_in_list", message, accepted.options[:MAX_ALLOWED])
    if accepted.type not in {"INT", "FLOAT"}:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _error(node_id, name, "not_a_number", f"{name} takes a number ({accepted.type}).")
    low, high = accepted.min, accepted.max
    if (low is None or value >= low) and (high is None or value <= high):
        return None
    both = low is not None and high is not None
    message = f"{name} lies between {low:g} and {high:g}." if both else f"{name} is out of range."
    bounds = tuple(bound for bound in (low, high) if bound is not None)
    return _error(node_id, name, "value_out_of_range", message, bounds)


def _is_plain(kind: str) -> bool:
    """Whether a type can be compared by name: no wildcard, no union, no template of ComfyUI's V3 schema."""
    return kind.isupper() and kind != "COMBO" and not kind.startswith("COMFY_") and "," not in kind and "*" not in kind


def _is_dynamic(accepted: InputSpec) -> bool:
    """Whether the input stands for a family of dotted ones (ComfyUI's V3 schema)."""
    return accepted.type.startswith("COMFY_")


def _error(node_id: str, name: str, code: str, message: str, allowed: tuple[Any, ...] | None = None) -> FieldError:
    pointer = f"/workflow/{node_id}/inputs/{name}"
    return FieldError(pointer=pointer, code=code, message=message, node_id=node_id, input=name, allowed=allowed)
