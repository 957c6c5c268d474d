"""What a node can run, and whether a workflow is among it.

A catalog is read from a node's ``object_info``. A workflow is checked against it before it is queued, so that what
ComfyUI would refuse (its validation, 0.33) is refused by us, at once and with what would be valid.
"""

import base64
import binascii
import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import chain, islice
from typing import Any

from pydantic import ValidationError

from contracts.catalog import ClassSpec, InputSpec
from contracts.graph_policy.decision import GraphRules
from contracts.graph_policy.policy import TenantPolicy
from contracts.wire.errors import FieldError
from contracts.workflow import MAX_ERRORS, Graph, GraphNode, is_model
from scheduler.domain.suggestions import NameIndex

MAX_CATALOG_BYTES = 32 << 20  # a stock node's is 0.7 MB; packs multiply it
MAX_ALLOWED = 50
UNKNOWN_CLASS = "unknown_node_class"
MAX_ANSWERED = 10  # errors of one check that say what would be valid; a list may have 50 long names
MAX_SUGGESTED_NAMES = 5  # unknown classes of one check that get suggestions
MAX_SUGGESTED_LENGTH = 100  # characters of such a name; ComfyUI's longest class name has 60
STRICT = TenantPolicy()

_SPACE = re.compile(r"[ \t\n\r]*")
_JSON = json.JSONDecoder()


class Catalog:
    """What one node can run."""

    def __init__(self, classes: dict[str, ClassSpec]) -> None:
        self.classes = classes
        self.rules = GraphRules(classes)
        self._options: dict[tuple[str, str], frozenset[str | int | float | bool]] = {}
        self._required: dict[str, tuple[str, ...]] = {}

    @cached_property
    def models(self) -> dict[str, tuple[str, ...]]:
        """The model files that it has, by loader input: ``Class.input``."""
        return {
            f"{name}.{field}": models
            for name, spec in self.classes.items()
            for field, accepted in spec.inputs.items()
            if (models := tuple(option for option in accepted.options or () if is_model(option)))
        }

    @cached_property
    def names(self) -> NameIndex:
        """Finds classes by names like theirs."""
        return NameIndex(self.classes)

    def has_option(self, class_type: str, name: str, value: object) -> bool:
        """Whether the input of a known class lists its options and this is one. Takes the same time for any list."""
        found = self._options.get((class_type, name))
        if found is None:
            found = self._options[class_type, name] = frozenset(self.classes[class_type].inputs[name].options or ())
        return isinstance(value, str | int | float) and value in found

    def required(self, class_type: str) -> tuple[str, ...]:
        """The inputs that every node of a known class must have."""
        found = self._required.get(class_type)
        if found is None:
            inputs = self.classes[class_type].inputs.items()
            found = tuple(name for name, accepted in inputs if accepted.required and not _is_dynamic(accepted))
            self._required[class_type] = found
        return found

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
        return accepted is None or accepted.options is None or self.has_option(name, field, value)


def read_catalog(digest: str, classes_zlib: str) -> Catalog | None:
    """The catalog in a report, or None where the report is broken, too large or not what its digest says."""
    try:
        inflate = zlib.decompressobj()
        body = inflate.decompress(base64.b64decode(classes_zlib, validate=True), MAX_CATALOG_BYTES)
        if not inflate.eof or hashlib.sha256(body).hexdigest() != digest:
            return None
        return Catalog(_read_classes(body.decode()))
    except (binascii.Error, zlib.error, ValidationError, ValueError, RecursionError):
        return None


def _read_classes(text: str) -> dict[str, ClassSpec]:
    """The classes in a JSON object, one after another.

    To parse all at once is a single call into C, which holds the interpreter's lock for as long as it takes.
    """
    classes: dict[str, ClassSpec] = {}
    at = _expect("{", text, _SPACE.match(text).end())  # type: ignore[union-attr] # it matches nothing, too
    while not (text.startswith("}", at) and not classes):
        if not text.startswith('"', at):
            raise ValueError("a class has a name")
        name, at = _JSON.raw_decode(text, at)
        at = _expect(":", text, _SPACE.match(text, at).end())  # type: ignore[union-attr] # it matches nothing, too
        spec, at = _JSON.raw_decode(text, at)
        classes[name] = ClassSpec.model_validate(spec)
        at = _SPACE.match(text, at).end()  # type: ignore[union-attr]
        if text.startswith("}", at):
            break
        at = _expect(",", text, at)
    if text[at + 1 :].strip(" \t\n\r"):
        raise ValueError("there is more than one value")
    return classes


def _expect(mark: str, text: str, at: int) -> int:
    """Where the next value begins, behind a mark and white space."""
    if not text.startswith(mark, at):
        raise ValueError(f"{mark} is missing")
    return _SPACE.match(text, at + 1).end()  # type: ignore[union-attr] # it matches nothing, too


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
    graph: Graph,
    catalog: Catalog,
    uploads: frozenset[str],
    policy: TenantPolicy = STRICT,
    *,
    at_most: int = MAX_ERRORS,
) -> tuple[FieldError, ...]:
    """The first ``at_most`` things that keep this node from running the graph for a tenant with this policy.

    Pointers start at ``/workflow``. The time it takes grows with the graph alone, not with the catalog or with what is
    wrong in the graph. The first ``MAX_ANSWERED`` say what would be valid; of classes ``with_suggestions`` does.

    An input that takes a file takes an id of ``uploads`` and nothing else: no name, no
    path, no link. So no graph reads what another job has on the node.
    """
    judged = (error for node_id, node in graph.items() for error in _check_node(graph, node_id, node, catalog, uploads))
    found = chain(catalog.rules.violations(graph, policy, uploads), judged)
    errors = [
        error if number < MAX_ANSWERED or error.allowed is None else error.model_copy(update={"allowed": None})
        for number, error in enumerate(islice(found, at_most))
    ]
    if not errors and not any(catalog.classes[node.class_type].output_node for node in graph.values()):
        message = "Nothing in this workflow keeps its result: add an output node such as SaveImage."
        errors.append(FieldError(pointer="/workflow", code="workflow_without_output", message=message))
    return tuple(errors)


def with_suggestions(errors: Sequence[FieldError], graph: Graph, catalog: Catalog) -> tuple[FieldError, ...]:
    """The same errors; the first few unknown classes come with up to 5 known ones of a similar name.

    The first call of a catalog makes an index, which takes milliseconds: to be called outside the event loop.
    """
    suggested: dict[str, tuple[str, ...] | None] = {}
    told = []
    for error in errors:
        if error.code == UNKNOWN_CLASS and error.node_id is not None:
            name = graph[error.node_id].class_type
            if name not in suggested and len(suggested) < MAX_SUGGESTED_NAMES and len(name) <= MAX_SUGGESTED_LENGTH:
                suggested[name] = catalog.names.similar(name) or None
            told.append(error.model_copy(update={"allowed": suggested.get(name)}))
        else:
            told.append(error)
    return tuple(told)


def _check_node(
    graph: Graph, node_id: str, node: GraphNode, catalog: Catalog, uploads: frozenset[str]
) -> Iterator[FieldError]:
    if node.class_type not in catalog.classes:
        message = "No node of the fleet has this class."
        yield FieldError(
            pointer=f"/workflow/{node_id}/class_type", code=UNKNOWN_CLASS, message=message, node_id=node_id
        )
        return
    for name in catalog.required(node.class_type):
        if name not in node.inputs:
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
        elif known.options is not None:
            listed = catalog.has_option(node.class_type, name, value)
            error = None if listed else _option_error(node_id, name, known.options)
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
        return _error(node_id, name, "broken_link", message, tuple(range(len(source.outputs))[:MAX_ALLOWED]))
    given = source.outputs[slot]
    if given != accepted.type and _is_plain(given) and _is_plain(accepted.type):
        return _error(node_id, name, "link_type_mismatch", f"{name} takes {accepted.type}, the link gives {given}.")
    return None


def _option_error(node_id: str, name: str, options: Sequence[str | int | float | bool]) -> FieldError:
    message = f"{name} is none of the {len(options)} values that the fleet has."
    return _error(node_id, name, "value_not_in_list", message, tuple(options[:MAX_ALLOWED]))


def _value_error(node_id: str, name: str, value: Any, accepted: InputSpec) -> FieldError | None:
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
