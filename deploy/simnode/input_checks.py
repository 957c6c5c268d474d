"""Checks one input of one node: presence, link, cast, range, options, and the class's own check."""

from collections.abc import Callable
from typing import Any

from simnode.catalog import Catalog
from simnode.node_class import MATCH_TYPE, Field, NodeClass
from simnode.object_info import build_input_config
from simnode.resources import NodeResources
from simnode.wire import Document, Workflow

CASTS: dict[str, Callable[[Any], Any]] = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}
MAX_LISTED_OPTIONS = 20  # options listed in an error


def build_input_error(kind: str, message: str, details: str, extra: Document) -> Document:
    """Return one entry of ``node_errors[id].errors``."""
    return {"type": kind, "message": message, "details": details, "extra_info": extra}


class InputChecker:
    """Checks inputs against their declarations. A valid value is stored back, cast to its declared type."""

    def __init__(self, prompt: Workflow, catalog: Catalog, resources: NodeResources) -> None:
        self._prompt = prompt
        self._catalog = catalog
        self._resources = resources
        self._is_0_33 = resources.settings.is_0_33
        self._known_fields: dict[str, dict[str, Field]] = {}

    def list_input_names(self, node_id: str) -> list[str]:
        """Return the names of a node's inputs, which depend on its class and its values."""
        return list(self._list_node_fields(node_id))

    def check_input(self, node_id: str, name: str) -> Document | None:
        """Return the first error of an input; None if it is valid. The target of a link is not checked.

        Raises:
            KeyError: a link to a missing node.
            IndexError: a link to a missing slot.
        """
        node_class, inputs = self._find_node_class(node_id), self._prompt[node_id]["inputs"]
        field = self._list_node_fields(node_id)[name]
        if name not in inputs:
            if field.group != "required":
                return None
            told = name.rsplit(".", maxsplit=1)[-1] if node_class.schema_v3 and self._is_0_33 else name
            return build_input_error("required_input_missing", "Required input is missing", told, {"input_name": name})
        facts = {
            "input_name": name,
            "input_config": build_input_config(field, self._resources, schema_v3=node_class.schema_v3),
        }
        if isinstance(inputs[name], list):
            return self._check_link(field, inputs[name], facts)
        wrong = _cast_value(field, inputs, facts)
        own = node_class.validates_all or (node_class.validate is not None and node_class.validate[0] == name)
        if wrong is not None or own:
            return wrong
        return self._check_value(field, inputs[name], facts, schema_v3=node_class.schema_v3)

    def run_custom_check(self, node_id: str) -> list[Document]:
        """Return a list with the error of the class's own check; an empty list if it finds none."""
        node_class, inputs = self._find_node_class(node_id), self._prompt[node_id]["inputs"]
        if node_class.validate is None:
            return []
        name, check = node_class.validate
        if name not in inputs or isinstance(inputs[name], list):
            return []
        answer = check(inputs[name], self._resources)
        if answer is True:
            return []
        details = f"{name} - {answer}" if isinstance(answer, str) else name
        text = "Custom validation failed for node"
        return [build_input_error("custom_validation_failed", text, details, {"input_name": name})]

    def _list_node_fields(self, node_id: str) -> dict[str, Field]:
        """Return the inputs of a node from its original values, because dynamic choices are made before unwrapping."""
        if node_id not in self._known_fields:
            inputs = self._prompt[node_id]["inputs"]
            self._known_fields[node_id] = {
                one.name: one for one in self._find_node_class(node_id).expand_inputs(inputs)
            }
        return self._known_fields[node_id]

    def _find_node_class(self, node_id: str) -> NodeClass:
        return self._catalog.get_node_class(self._prompt[node_id])

    def _check_link(self, field: Field, link: list[Any], facts: Document) -> Document | None:
        if len(link) != 2:
            text = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
            return build_input_error("bad_linked_input", text, field.name, {**facts, "received_value": link})
        received = self._catalog.get_node_class(self._prompt[link[0]]).outputs[link[1]]
        if _types_match(received, field.type_name):
            return None
        details = f"{field.name}, received_type({received}) mismatch input_type({field.type_name})"
        extra = {**facts, "received_type": received, "linked_node": link}
        return build_input_error("return_type_mismatch", "Return type mismatch between linked nodes", details, extra)

    def _check_value(self, field: Field, value: Any, facts: Document, *, schema_v3: bool) -> Document | None:
        extra = {**facts, "received_value": value}
        least, most = field.options.get("min"), field.options.get("max")
        if least is not None and value < least:
            return build_input_error(
                "value_smaller_than_min", f"Value {value} smaller than min of {least}", field.name, extra
            )
        if most is not None and value > most:
            return build_input_error(
                "value_bigger_than_max", f"Value {value} bigger than max of {most}", field.name, extra
            )
        choices = field.list_options(self._resources)
        if (
            choices is None or value in choices or (schema_v3 and not self._is_0_33)
        ):  # 0.3.64 checks classic combos only
            return None
        return self._build_not_in_list(field, value, choices, extra)

    def _build_not_in_list(self, field: Field, value: Any, choices: list[str], extra: Document) -> Document:
        listed = str(choices)
        if len(choices) > MAX_LISTED_OPTIONS:
            listed, extra = f"(list of length {len(choices)})", {**extra, "input_config": None}
        quoted = repr(value) if self._resources.settings.is_0_33 else f"'{value}'"
        return build_input_error(
            "value_not_in_list", "Value not in list", f"{field.name}: {quoted} not in {listed}", extra
        )


def _types_match(received: str, accepted: str) -> bool:
    """Whether the types have one in common, or either side is a wildcard or a template."""
    if received == accepted or MATCH_TYPE in (received, accepted):
        return True
    given, taken = ({kind.strip() for kind in kinds.split(",")} for kinds in (received, accepted))
    return "*" in given | taken or not given.isdisjoint(taken)


def _cast_value(field: Field, inputs: Document, facts: Document) -> Document | None:
    value = inputs[field.name]
    if isinstance(value, dict) and "__value__" in value:
        value = inputs[field.name] = value["__value__"]
    cast = CASTS.get(field.type_name)
    if cast is None:
        return None
    try:
        inputs[field.name] = cast(value)
    except (TypeError, ValueError, OverflowError) as error:
        return build_input_error(
            "invalid_input_type",
            f"Failed to convert an input value to a {field.type_name} value",
            f"{field.name}, {value}, {error}",
            {**facts, "received_value": value, "exception_message": str(error)},
        )
    return None
