"""Parameters of a saved workflow: which inputs of its graph a submission can set, and to which values.

Without an explicit list they are derived from the graph: a node whose title (``_meta.title``) is ``$name`` or
``param:name`` gives a parameter ``name`` for its only input with a literal. An empty list means no parameters.

A parameter that a submission omits has its default, or else the value in the graph.
"""

from collections.abc import Iterator, Mapping
from copy import copy
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from contracts.wire.errors import FieldError
from contracts.wire.show_values import format_value
from contracts.wire.text import escape_pointer_key

MAX_PARAMETERS = 100
MAX_CHOICES = 100
MAX_ALLOWED = 50  # allowed values in a FieldError
_MAX_NAMED = 5  # parameters in a message
MIN_INT, MAX_INT = -(2**63), 2**64 - 1  # the range of a node's INT
TITLE_PREFIXES = ("$", "param:")

Value = str | int | float | bool
Text = Annotated[str, Field(max_length=1_000)]
ParameterName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]


class ValueType(StrEnum):
    """Types of JSON Schema."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"


class ParameterBody(BaseModel):
    """A parameter. ``type`` can be omitted if the default or the literal in the graph shows it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)

    node: Annotated[str, Field(min_length=1, max_length=255)]
    input: Annotated[str, Field(min_length=1, max_length=255)]
    type: Annotated[ValueType, Field(strict=False)] | None = None
    title: Text | None = None
    description: Text | None = None
    default: Value | None = None
    minimum: int | float | None = None
    maximum: int | float | None = None
    enum: Annotated[list[Value], Field(min_length=1, max_length=MAX_CHOICES)] | None = None
    required: bool = False


Parameters = Mapping[str, ParameterBody]


def resolve_parameters(
    sent: Parameters | None, graph: Mapping[str, Any]
) -> tuple[dict[str, ParameterBody], tuple[FieldError, ...]]:
    """Return the parameters of a graph, with their types and defaults filled in from it, and the errors found.

    Args:
        sent: the parameters that the client lists; None derives them from the graph.
        graph: a valid graph.
    """
    errors: list[FieldError] = []
    found = dict(sent) if sent is not None else _derive_from_titles(graph, errors)
    taken: dict[tuple[str, str], str] = {}
    for name, parameter in found.items():
        pointer = f"/parameters/{name}"
        target = (parameter.node, parameter.input)
        if parameter.node not in graph or parameter.input not in graph[parameter.node]["inputs"]:
            message = "The workflow has no such node, or the node has no such input."
            errors.append(FieldError(pointer=pointer, code="parameter_target_missing", message=message))
            continue
        if target in taken:
            message = f"The parameter {taken[target]} sets this input already."
            errors.append(FieldError(pointer=pointer, code="parameter_target_taken", message=message))
        taken[target] = name
        found[name] = _complete_parameter(parameter, graph[parameter.node]["inputs"][parameter.input])
        errors.extend(_find_definition_errors(found[name], pointer))
    return found, tuple(errors)


def build_parameters_schema(parameters: Parameters) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the parameters of a submission."""
    return {
        "type": "object",
        "properties": {name: _build_schema_property(parameter) for name, parameter in parameters.items()},
        "required": [name for name, parameter in parameters.items() if parameter.required],
        "additionalProperties": False,
    }


def validate_values(parameters: Parameters, sent: Mapping[str, Any], pointer: str) -> tuple[FieldError, ...]:
    """Return the errors of the sent values; each points to ``pointer``, a slash, and the parameter's name."""
    errors: list[FieldError] = []
    for name, value in sent.items():
        value_pointer = f"{pointer}/{escape_pointer_key(name)}"[:256]
        if name not in parameters:
            allowed = tuple(parameters)[:MAX_ALLOWED]
            message = (
                f"The saved workflow has no parameter {format_value(name)}. It has {_list_parameter_names(parameters)}."
            )
            errors.append(FieldError(pointer=value_pointer, code="parameter_unknown", message=message, allowed=allowed))
        else:
            errors.extend(_find_value_errors(parameters[name], value, value_pointer))
    for name, parameter in parameters.items():
        if parameter.required and name not in sent:
            message = f"The parameter {format_value(name)} is required, and is missing."
            errors.append(FieldError(pointer=f"{pointer}/{name}", code="parameter_missing", message=message))
    return tuple(errors)


def _list_parameter_names(parameters: Parameters) -> str:
    """Return the first names, for a message."""
    if not parameters:
        return "none"
    names = [format_value(name) for name in tuple(parameters)[:_MAX_NAMED]]
    rest = len(parameters) - len(names)
    return ", ".join(names) + (f" and {rest} more" if rest else "")


def set_values(parameters: Parameters, sent: Mapping[str, Any], graph: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of the graph with checked values set."""
    copied = dict(graph)
    for name, parameter in parameters.items():
        value = sent.get(name, parameter.default)
        if value is not None:
            node = copy(copied[parameter.node])
            node["inputs"] = node["inputs"] | {parameter.input: value}
            copied[parameter.node] = node
    return copied


def relocate_errors(errors: tuple[FieldError, ...], parameters: Parameters, pointer: str) -> tuple[FieldError, ...]:
    """Return the errors with pointers to the parameter that sets the input, since the graph is not in the request."""
    names = {(parameter.node, parameter.input): name for name, parameter in parameters.items()}
    return tuple(
        error.model_copy(update={"pointer": f"{pointer}/{name}" if name else ""})
        for error in errors
        for name in (names.get((error.node_id or "", error.input or "")),)
    )


def _derive_from_titles(graph: Mapping[str, Any], errors: list[FieldError]) -> dict[str, ParameterBody]:
    found: dict[str, ParameterBody] = {}
    for node_id, node in graph.items():
        name = _read_parameter_title(node)
        if name is None:
            continue
        literals = [name for name, value in node["inputs"].items() if _find_literal_type(value)]
        if not _is_name(name):
            code, message = (
                "parameter_name",
                "A parameter's name is a letter or _, then letters, digits and _; 64 in all.",
            )
        elif len(literals) != 1:
            code, message = (
                "parameter_ambiguous",
                "A node whose title names a parameter must have one literal input. Or list `parameters`.",
            )
        elif name in found:
            code, message = "parameter_twice", "Two nodes name the same parameter."
        elif len(found) == MAX_PARAMETERS:
            code, message = "parameter_too_many", f"A workflow has at most {MAX_PARAMETERS} parameters."
        else:
            found[name] = ParameterBody(node=node_id, input=literals[0])
            continue
        pointer = f"/workflow/{escape_pointer_key(node_id)}/_meta/title"[:256]
        errors.append(FieldError(pointer=pointer, code=code, message=message, node_id=node_id))
    return found


def _read_parameter_title(node: Mapping[str, Any]) -> str | None:
    title = (node.get("_meta") or {}).get("title")
    if not isinstance(title, str):
        return None
    return next((title.removeprefix(mark).strip() for mark in TITLE_PREFIXES if title.startswith(mark)), None)


def _is_name(text: str) -> bool:
    return text.isascii() and text.isidentifier() and len(text) <= 64


def _find_literal_type(value: object) -> ValueType | None:
    """Return the type of a literal; None for links and anything else."""
    for kind, type_ in ((bool, ValueType.BOOLEAN), (int, ValueType.INTEGER), (float, ValueType.NUMBER)):
        if isinstance(value, kind):
            return type_
    return ValueType.STRING if isinstance(value, str) else None


def _complete_parameter(parameter: ParameterBody, literal: Any) -> ParameterBody:
    """Return the parameter, with default and type from the graph where it has none."""
    default = parameter.default
    if default is None and not parameter.required and _find_literal_type(literal):
        default = literal
    type_ = parameter.type or _find_literal_type(default) or _find_literal_type(literal)
    return parameter.model_copy(update={"default": default, "type": type_})


def _find_definition_errors(parameter: ParameterBody, pointer: str) -> Iterator[FieldError]:
    """Yield the errors in the definition of one parameter."""
    low, high = parameter.minimum, parameter.maximum
    if parameter.type is None:
        message = "The graph has no literal value here, so the type is unknown. Send `type`."
        allowed = tuple(type_.value for type_ in ValueType)
        yield FieldError(pointer=f"{pointer}/type", code="parameter_type_unknown", message=message, allowed=allowed)
        return
    if (low, high) != (None, None) and parameter.type not in {ValueType.INTEGER, ValueType.NUMBER}:
        yield FieldError(pointer=pointer, code="parameter_bounds", message="Only numbers have a minimum or maximum.")
        return
    if low is not None and high is not None and low > high:
        yield FieldError(
            pointer=f"{pointer}/minimum", code="parameter_bounds", message="The minimum is above the maximum."
        )
        return
    for index, choice in enumerate(parameter.enum or ()):
        yield from _find_value_errors(parameter.model_copy(update={"enum": None}), choice, f"{pointer}/enum/{index}")
    if len(set(parameter.enum or ())) != len(parameter.enum or ()):
        yield FieldError(pointer=f"{pointer}/enum", code="parameter_choices", message="A choice is listed twice.")
    if parameter.default is not None:
        yield from _find_value_errors(parameter, parameter.default, f"{pointer}/default")


def _find_value_errors(parameter: ParameterBody, value: Any, pointer: str) -> Iterator[FieldError]:
    """Yield the reason why a value does not fit the parameter. Types are strict, but an integer is also a number."""
    type_ = _find_literal_type(value)
    if type_ is not parameter.type and (type_, parameter.type) != (ValueType.INTEGER, ValueType.NUMBER):
        message, types = (
            f"The value is {format_value(value)}, but must be of type {parameter.type}.",
            (str(parameter.type),),
        )
        yield FieldError(pointer=pointer, code="parameter_type", message=message, allowed=types)
    elif parameter.enum is not None and value not in parameter.enum:
        allowed = tuple(parameter.enum[:MAX_ALLOWED])
        yield FieldError(
            pointer=pointer,
            code="parameter_choice",
            message=f"The value is {format_value(value)}, but must be one of the choices in `allowed`.",
            allowed=allowed,
        )
    elif type_ in {ValueType.INTEGER, ValueType.NUMBER}:
        low, high = _list_numeric_bounds(parameter)
        if not low <= value <= high:
            message = f"The value is {format_value(value)}, but must be between {low} and {high}."
            yield FieldError(pointer=pointer, code="parameter_range", message=message, allowed=(low, high))


def _list_numeric_bounds(parameter: ParameterBody) -> tuple[int | float, int | float]:
    low = MIN_INT if parameter.minimum is None else parameter.minimum
    return low, MAX_INT if parameter.maximum is None else parameter.maximum


def _build_schema_property(parameter: ParameterBody) -> dict[str, Any]:
    fields = ("type", "title", "description", "default", "minimum", "maximum", "enum")
    described = {name: getattr(parameter, name) for name in fields}
    return {name: value for name, value in described.items() if value is not None}
