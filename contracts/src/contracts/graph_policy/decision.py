"""Decides whether a tenant's policy allows a graph: its classes, and inputs that name files, folders and models.

The scheduler applies it at admission, and the executor once more before the node receives the graph. Its run time is
linear in the size of the graph.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from typing import Any

from contracts.catalog import ClassSpec, InputSpec
from contracts.graph_policy.class_decision import ClassDecision, ClassPolicy
from contracts.graph_policy.expressions import has_bounded_cost
from contracts.graph_policy.format_strings import is_plain_format
from contracts.graph_policy.input_roles import COMBO, STRING, ClassRoles
from contracts.graph_policy.number_links import NumberLinks, is_number, takes_only_numbers
from contracts.graph_policy.policy import GraphPolicy, TenantPolicy
from contracts.graph_policy.registry import MAX_SHORT_TEXT, InputRole, find_stock_class, is_stock_module
from contracts.wire.errors import FieldError
from contracts.wire.show_values import format_value, make_printable
from contracts.wire.text import escape_pointer_key
from contracts.workflow import LITERAL_WRAPPER, Graph, GraphNode, is_link

MAX_ERRORS = 100  # bounds the size of a reply
MAX_LISTED_OPTIONS = 50  # options listed in an error

_PLAIN_PATH = re.compile(r"[^/\\:\x00-\x1f][^\\:\x00-\x1f]{0,500}")
_LITERAL_ROLES = frozenset({InputRole.FILE, InputRole.FOLDER, InputRole.MODEL, InputRole.RECORD, InputRole.FORMAT})
_STRICT_TEXT_ROLES = frozenset({InputRole.EXPRESSION, InputRole.SHORT_TEXT})


def find_violations(
    graph: Graph, classes: Mapping[str, ClassSpec], policy: TenantPolicy, uploads: frozenset[str]
) -> tuple[FieldError, ...]:
    """Return the policy violations of a graph; see ``GraphRules.find_violations``."""
    return GraphRules(classes).find_violations(graph, policy, uploads)


class GraphRules:
    """Applies policies to graphs of one catalog. The input roles are computed once per catalog."""

    def __init__(self, classes: Mapping[str, ClassSpec]) -> None:
        self._classes = classes
        self._roles: dict[str, ClassRoles] = {}
        self._options: dict[tuple[str, str], frozenset[Any]] = {}

    def find_violations(self, graph: Graph, policy: TenantPolicy, uploads: frozenset[str]) -> tuple[FieldError, ...]:
        """Return all policy violations of a graph, at most ``MAX_ERRORS``. Pointers start at ``/workflow``.

        A refused class is reported once, at the first node that uses it. Classes that are not in the catalog are
        skipped.

        Args:
            graph: may contain broken links; they are ignored.
            policy: policy of the tenant.
            uploads: upload ids that are valid where an input expects a file.
        """
        return (self.find_class_errors(graph, policy) + self.find_input_errors(graph, policy, uploads))[:MAX_ERRORS]

    def find_class_errors(self, graph: Graph, policy: TenantPolicy) -> tuple[FieldError, ...]:
        """Return the classes that the policy refuses, each at its first node, at most ``MAX_ERRORS``."""
        first: dict[str, str] = {}
        for node_id, node in graph.items():
            if node.class_type in self._classes:
                first.setdefault(node.class_type, node_id)
        rules = ClassPolicy(policy)
        decisions = ((name, node_id, rules.decide(name, self._classes[name])) for name, node_id in first.items())
        errors = (
            _build_class_error(node_id, name, decision) for name, node_id, decision in decisions if not decision.allowed
        )
        return tuple(islice(errors, MAX_ERRORS))

    def find_input_errors(self, graph: Graph, policy: TenantPolicy, uploads: frozenset[str]) -> tuple[FieldError, ...]:
        """Return violations by inputs of allowed classes, at most ``MAX_ERRORS``."""
        rules = ClassPolicy(policy)
        numbers = NumberLinks(graph, self._classes)
        allowed: dict[str, bool] = {}
        errors: list[FieldError] = []
        for node_id, node in graph.items():
            spec = self._classes.get(node.class_type)
            if spec is None:
                continue
            if node.class_type not in allowed:
                allowed[node.class_type] = rules.decide(node.class_type, spec).allowed
            if allowed[node.class_type]:
                check = _NodeInputCheck(self, node_id, node.class_type, spec, rules, uploads)
                found = chain(self._find_node_violations(graph, node, check), check.find_number_errors(node, numbers))
                errors.extend(islice(found, MAX_ERRORS - len(errors)))
            if len(errors) >= MAX_ERRORS:
                break
        return tuple(errors)

    def find_role(self, class_type: str, name: str) -> InputRole | None:
        """Return the role of an input of a class in the catalog; None for an input that ComfyUI ignores.

        ComfyUI passes a class its declared inputs and the parts of its dynamic inputs, whose names contain dots.
        Classes of custom packs can receive any name.
        """
        spec = self._classes[class_type]
        if name not in spec.inputs and "." not in name and find_stock_class(class_type, spec.module) is not None:
            return None
        return self.get_class_roles(class_type).find_role(name)

    def decides_allowed_values(self, class_type: str, name: str) -> bool:
        """Whether ``find_violations`` alone decides which values the input accepts."""
        return self.find_role(class_type, name) in _LITERAL_ROLES

    def get_class_roles(self, class_type: str) -> ClassRoles:
        """Return the roles of the inputs of a class in the catalog, including inputs that ComfyUI ignores."""
        roles = self._roles.get(class_type)
        if roles is None:
            roles = self._roles[class_type] = ClassRoles(class_type, self._classes[class_type])
        return roles

    def find_description(self, class_type: str, name: str) -> InputSpec | None:
        """Return the catalog's description of an input, or of the first option that has the part of a dynamic input."""
        declared = self._classes[class_type].inputs.get(name)
        if declared is not None or "." not in name:
            return declared
        return next(iter(self.get_class_roles(class_type).list_nested_descriptions(name)), None)

    def has_option(self, class_type: str, name: str, value: Any) -> bool:
        """Whether an input of the class, or a part of a dynamic input, lists a value. Constant time."""
        options = self._options.get((class_type, name))
        if options is None:
            declared = self._classes[class_type].inputs.get(name)
            described = (
                self.get_class_roles(class_type).list_nested_descriptions(name) if declared is None else [declared]
            )
            options = frozenset(option for description in described for option in description.options or ())
            self._options[class_type, name] = options
        return value in options

    def _find_node_violations(self, graph: Graph, node: GraphNode, check: "_NodeInputCheck") -> Iterator[FieldError]:
        for name, value in node.inputs.items():
            role = self.find_role(node.class_type, name)
            if role is not None and role is not InputRole.OUTPUT_NAME:
                yield from check.find_errors(name, role, value)
            if is_link(value) and role not in _LITERAL_ROLES:
                accepted = check.spec.inputs.get(name)
                if accepted is not None and accepted.type == COMBO and self._may_choose_option(graph, value, role):
                    message = f"{check.label(name)} takes one of its options, not a link to a text. Write the option."
                    yield _build_input_error(check.node_id, name, "link_not_allowed", message)

    def _may_choose_option(self, graph: Graph, link: list[Any], role: InputRole | None) -> bool:
        """Whether a link passes text to a combo, or anything to a combo that names a file, folder or model."""
        node = graph.get(link[0])
        source = self._classes.get(node.class_type) if node is not None else None
        is_output = source is not None and type(link[1]) is int and 0 <= link[1] < len(source.outputs)
        linked_type = source.outputs[link[1]] if source is not None and is_output else ""
        return linked_type == STRING or (role not in {None, InputRole.OUTPUT_NAME} and linked_type != COMBO)

    @cached_property
    def models_by_name(self) -> dict[str, frozenset[Any]]:
        """Return the models of stock loaders by the last part of the input's name ("lora_name").

        Rows of a dynamic group ("loras.0.lora_name") have no options of their own in a catalog.
        """
        listed: dict[str, set[Any]] = {}
        for class_type, spec in self._classes.items():
            if is_stock_module(spec.module):
                for name, accepted in spec.inputs.items():
                    if accepted.options and self.find_role(class_type, name) is InputRole.MODEL:
                        listed.setdefault(name, set()).update(accepted.options)
        return {name: frozenset(models) for name, models in listed.items()}


@dataclass(frozen=True, slots=True)
class _NodeInputCheck:
    """Checks the input values of one node."""

    graph_rules: GraphRules
    node_id: str
    class_type: str
    spec: ClassSpec
    rules: ClassPolicy
    uploads: frozenset[str]

    def label(self, name: str) -> str:
        """Return the input's name for error messages."""
        return f"{make_printable(self.class_type)}.{make_printable(name)}"

    def find_errors(self, name: str, role: InputRole, value: Any) -> Iterator[FieldError]:
        accepted = self.spec.inputs.get(name)
        if role is InputRole.RECORD:
            yield from self._check_record(name, value)
        elif role in _LITERAL_ROLES or (role in _STRICT_TEXT_ROLES and self._is_strict()):
            if isinstance(value, list):
                message = f"{self.label(name)} takes a value, not a link. Write the value itself."
                yield _build_input_error(self.node_id, name, "link_not_allowed", message)
            elif (error := self._check_literal(name, role, value, accepted)) is not None:
                yield error

    def find_number_errors(self, node: GraphNode, numbers: NumberLinks) -> Iterator[FieldError]:
        """Yield the inputs of a stock class that take a number and can get something else."""
        if not self._is_strict():
            return
        for name, value in node.inputs.items():
            accepted = self.graph_rules.find_description(self.class_type, name)
            if accepted is None or not takes_only_numbers(accepted):
                continue
            if is_link(value):
                if not numbers.passes_only_numbers(value):
                    message = (
                        f"{self.label(name)} takes a number, and this link can pass something else. Link a number."
                    )
                    yield _build_input_error(self.node_id, name, "link_not_allowed", message)
            elif "," in accepted.type and value is not None and not is_number(value):  # ComfyUI converts single types
                message = f"{self.label(name)} is {format_value(value)}, but must be a number."
                yield _build_input_error(self.node_id, name, "not_a_number", message)

    def _is_strict(self) -> bool:
        return self.rules.mode is GraphPolicy.STRICT and not self.rules.allows_explicitly(self.class_type, self.spec)

    def _check_literal(self, name: str, role: InputRole, value: Any, accepted: InputSpec | None) -> FieldError | None:
        if role is InputRole.FILE:
            return self._check_file(name, value, may_be_empty=_may_be_empty(accepted))
        if isinstance(value, str) and value in self.uploads:
            message = f"{self.label(name)} takes no file. Give the id of an upload to a loader node, such as LoadImage."
            return _build_input_error(self.node_id, name, "upload_misplaced", message)
        if role is InputRole.FOLDER:
            return self._check_folder(name, value, accepted)
        return (
            self._check_model(name, value, accepted) if role is InputRole.MODEL else self._check_text(name, role, value)
        )

    def _check_text(self, name: str, role: InputRole, value: Any) -> FieldError | None:
        if role is InputRole.FORMAT and not (isinstance(value, str) and is_plain_format(value)):
            message = f"{self.label(name)} takes plain fields such as {{a}} or {{a:.2f}}, nothing else."
            return _build_input_error(self.node_id, name, "format_not_allowed", message)
        if role is InputRole.EXPRESSION and not (isinstance(value, str) and has_bounded_cost(value)):
            message = (
                f"{self.label(name)} is {format_value(value)}, but must be short arithmetic with numbers, one-letter "
                "names, few multiplications and small powers."
            )
            return _build_input_error(self.node_id, name, "expression_not_allowed", message)
        if role is InputRole.SHORT_TEXT and not (isinstance(value, str) and len(value) <= MAX_SHORT_TEXT):
            message = f"{self.label(name)} takes a text of at most {MAX_SHORT_TEXT} characters."
            return _build_input_error(self.node_id, name, "text_too_long", message)
        return None

    def _check_file(self, name: str, value: Any, *, may_be_empty: bool) -> FieldError | None:
        if isinstance(value, str) and (value in self.uploads or (may_be_empty and not value)):
            return None
        if value == "none" and name == "model_file":
            return None  # Load3D's option for no file
        message = (
            f"{self.label(name)} is {format_value(value)}, which is not the id of an upload of yours. Upload the file "
            "(POST "
            '/api/v1/upload) and write the id it returns, or "output:<id of the output>" to use a file that one of '
            "your jobs made."
        )
        return _build_input_error(self.node_id, name, "file_not_uploaded", message)

    def _check_folder(self, name: str, value: Any, accepted: InputSpec | None) -> FieldError | None:
        options = accepted.options or () if accepted is not None else ()
        if not self.rules.allows_explicitly(self.class_type, self.spec):
            message = f"{self.label(name)} names a folder of the ComfyUI server, which is not allowed here."
            return _build_input_error(self.node_id, name, "folder_not_allowed", message)
        if isinstance(value, str) and options and self.graph_rules.has_option(self.class_type, name, value):
            return None
        message = (
            f"{self.label(name)} is {format_value(value)}, which is none of the {len(options)} folders that a node has."
        )
        return _build_input_error(self.node_id, name, "folder_not_allowed", message, options[:MAX_LISTED_OPTIONS])

    def _check_model(self, name: str, value: Any, accepted: InputSpec | None) -> FieldError | None:
        if not isinstance(value, str | int | float):
            message = f"{self.label(name)} is {format_value(value)}, but must be the name of one of its options."
            return _build_input_error(self.node_id, name, "literal_required", message)
        if accepted is not None and accepted.options is not None:
            if self.graph_rules.has_option(self.class_type, name, value):
                return None
            return self._build_not_listed_error(name, value, accepted.options)
        listed = self.graph_rules.models_by_name.get(name.rpartition(".")[2], frozenset())
        is_listed = accepted is None and self.graph_rules.has_option(self.class_type, name, value)
        if is_listed or (isinstance(value, str) and value in listed):
            return None
        if self.rules.allows_explicitly(self.class_type, self.spec) and _is_plain_path(value):
            return None
        return self._build_not_listed_error(name, value, ())

    def _build_not_listed_error(self, name: str, value: Any, options: tuple[Any, ...]) -> FieldError:
        message = f"{self.label(name)} is {format_value(value)}, which no ComfyUI server of the fleet has."
        return _build_input_error(self.node_id, name, "value_not_in_list", message, options[:MAX_LISTED_OPTIONS])

    def _check_record(self, name: str, value: Any) -> Iterator[FieldError]:
        if not isinstance(value, dict) or LITERAL_WRAPPER in value:
            code = "link_not_allowed" if isinstance(value, list) else "record_malformed"
            yield _build_input_error(
                self.node_id, name, code, f"{self.label(name)} takes an object. Write the object itself."
            )
            return
        roles = self.graph_rules.get_class_roles(self.class_type)
        for part, inner in value.items():
            place = f"{name}.{part}"
            if roles.find_role(place) is InputRole.FILE:
                error = self._check_file(place, inner, may_be_empty=True)
                if error is not None:
                    yield error.model_copy(update={"input": name})


def _may_be_empty(accepted: InputSpec | None) -> bool:
    """Whether a file input also accepts no file (Painter)."""
    return accepted is not None and (accepted.type == STRING or accepted.default == "")


def _is_plain_path(value: Any) -> bool:
    """Whether this is a relative path that stays below its base folder."""
    return isinstance(value, str) and bool(_PLAIN_PATH.fullmatch(value)) and ".." not in value.split("/")


def _build_class_error(node_id: str, class_type: str, decision: ClassDecision) -> FieldError:
    return FieldError(
        pointer=f"/workflow/{escape_pointer_key(node_id)}/class_type",
        code="node_class_not_allowed",
        message=(
            f"The node class {format_value(class_type)} is not allowed here, because "
            f"{_sentence_to_clause(decision.reason)}. Remove the "
            f"node, or {_sentence_to_clause(decision.advice)}."
        ),
        node_id=node_id,
    )


def _sentence_to_clause(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:].removesuffix(".")


def _build_input_error(
    node_id: str, name: str, code: str, message: str, allowed: tuple[Any, ...] | None = None
) -> FieldError:
    pointer = f"/workflow/{escape_pointer_key(node_id)}/inputs/{escape_pointer_key(name)}"
    return FieldError(pointer=pointer, code=code, message=message, node_id=node_id, input=name, allowed=allowed)
