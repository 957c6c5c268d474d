"""Messages for pydantic's validation errors, in the words of an API user."""

from collections.abc import Collection
from difflib import get_close_matches

from pydantic_core import ErrorDetails

from contracts.wire.show_values import make_printable

MAX_SUGGESTIONS = 3
MAX_COMPARED = 64  # characters of an unknown name; longer ones get no suggestions, which bounds the time
MIN_SIMILARITY = 0.5  # of difflib, from 0 to 1; "cfg" suggests "cfg_scale"

_UNION_MEMBERS = frozenset({"str", "int", "float", "bool"})  # a location ends with one where a union has no match
_PREDICATES = {
    "missing": "is required, and is missing",
    "string_type": "must be a text in quotes",
    "int_type": "must be a whole number without quotes",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "float_type": "must be a number without quotes",
    "float_parsing": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false, without quotes",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list: [...]",
    "tuple_type": "must be a list: [...]",
    "dict_type": "must be an object: {{...}}",
    "model_type": "must be an object: {{...}}",
    "model_attributes_type": "must be an object: {{...}}",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be {le} or less",
    "multiple_of": "must be a multiple of {multiple_of}",
    "string_too_short": "must have {min_length} or more characters",
    "string_too_long": "must have {max_length} or fewer characters",
    "string_pattern_mismatch": "must match the pattern {pattern}",
    "too_short": "must have {min_length} or more items",
    "too_long": "must have {max_length} or fewer items",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "uuid_type": "must be an id, such as 0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee",
    "uuid_parsing": "must be an id, such as 0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee",
}


def build_field_message(error: ErrorDetails, fields: Collection[str] = ()) -> str:
    """Return a sentence about what is wrong with a field and, if that does not already say it, one about what to do.

    It contains the name of the field and never its value. A ``ValueError`` of a validator is its own message. Error
    types without a sentence here keep pydantic's.

    Args:
        error: the validation error with its context.
        fields: valid names, for an error about an unknown field.
    """
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return _describe_unknown_field(str(error["loc"][-1]), fields)
    if kind == "value_error":
        return str(context.get("error", error["msg"]))
    if kind in _PREDICATES:
        return f"{_describe_field(error['loc'])} {_PREDICATES[kind].format(**context)}."
    return error["msg"]


def _describe_unknown_field(name: str, fields: Collection[str]) -> str:
    near = get_close_matches(name, fields, MAX_SUGGESTIONS, MIN_SIMILARITY) if len(name) <= MAX_COMPARED else []
    if near:
        return (
            f'There is no field "{make_printable(name)}". Remove or rename it. Nearest: '
            f"{', '.join(map(_quote_name, near))}."
        )
    return f'There is no field "{make_printable(name)}". Remove it.'


def _describe_field(location: tuple[int | str, ...]) -> str:
    if not location:
        return "The body"
    last = location[-1]
    if isinstance(last, int) or last in _UNION_MEMBERS or "[" in last:
        return "This value"
    return _quote_name(make_printable(last))


def _quote_name(name: str) -> str:
    return f'"{name}"'
