"""Strict JSON in request bodies.

Refused: duplicate keys, NaN and infinite numbers, NUL, lone surrogates, deep nesting, long keys and more values than
any workflow needs. Different programs interpret such input differently, or it takes too long to process.
Integers keep every digit. A byte order mark is skipped. NaN becomes null where ComfyUI ignores it: in a workflow's node
besides ``class_type`` and ``inputs``.
"""

import math
from collections.abc import Iterable
from itertools import chain
from typing import Any, NoReturn, TypeVar

import jiter
from pydantic import BaseModel, ValidationError

from contracts.wire.errors import FieldError
from contracts.wire.field_messages import build_field_message
from contracts.wire.text import escape_pointer_key
from gateway.edge.errors import InvalidRequest, Malformed
from gateway.edge.json_faults import describe_parser_error

MAX_WORKFLOW_BODY_BYTES = 8 << 20  # the largest workflow worth running is far below
MAX_DEPTH = 32
MAX_VALUES = 100_000
MAX_KEY_BYTES = 1024  # bytes
MAX_ERRORS = 100
MAX_DIGITS = 400  # digits in a row; parsing an integer takes quadratic time, and a double has at most 309
MAX_COUNTED_ERRORS = 200  # errors of one value; describing more takes longer than finding them
MAX_POINTER = 256  # a pointer holds the client's own keys, which may be as long as the body

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_DIGITS_TO_ZERO = bytes.maketrans(b"123456789", b"0" * 9)
_TOO_MANY_DIGITS = b"0" * (MAX_DIGITS + 1)
_TOO_MANY_VALUES = f"More than {MAX_VALUES} values and keys."
_NODE_KEYS = frozenset({"class_type", "inputs"})  # of a workflow's node: the keys that ComfyUI reads

M = TypeVar("M", bound=BaseModel)


def parse_json(body: bytes) -> Any:
    """Parse the JSON of a request body.

    Raises:
        Malformed: the body is not JSON, or programs interpret it differently.
    """
    body = body.removeprefix(_BYTE_ORDER_MARK)
    if _may_exceed_values(body) or _may_exceed_digits(body):
        _check_limits_outside_strings(body)
    try:
        value = jiter.from_json(body, allow_inf_nan=True, cache_mode="keys", catch_duplicate_keys=True)
    except ValueError as error:
        raise Malformed(errors=(describe_parser_error(body, error),)) from None
    if not _check_values(value, may_have_nul=rb"\u0000" in body):
        value = _replace_ignored_nan(value)
        _check_finite(value, "")
    return value


def validate_model(model: type[M], value: Any) -> M:
    """Return the value as a model.

    Raises:
        InvalidRequest: the value does not fit the model. The errors have the location and the reason, never the value.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        if error.error_count() > MAX_COUNTED_ERRORS:
            message = f"The value has {error.error_count()} errors. Send only documented fields."
            raise InvalidRequest(errors=(FieldError(code="too_many_errors", message=message),)) from None
        found = error.errors(include_url=False, include_input=False)
        raise InvalidRequest(
            errors=tuple(
                FieldError(
                    pointer=_build_json_pointer(item["loc"]),
                    code=item["type"],
                    message=build_field_message(item, model.model_fields if len(item["loc"]) == 1 else ()),
                )
                for item in found[:MAX_ERRORS]
            )
        ) from None


def _may_exceed_values(body: bytes) -> bool:
    return 1 + sum(map(body.count, (b",", b":", b"[", b"{"))) > MAX_VALUES


def _may_exceed_digits(body: bytes) -> bool:
    return len(body) > MAX_DIGITS and _TOO_MANY_DIGITS in body.translate(_DIGITS_TO_ZERO)


def _check_limits_outside_strings(body: bytes) -> None:
    """Check the numbers of values and digits again, without the content of strings, before time is spent on parsing."""
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")  # each remaining quote begins or ends a string
    if plain.count(b'"') > 2 * MAX_VALUES:
        _refuse_json("json_size", _TOO_MANY_VALUES)
    plain = b'"'.join(plain.split(b'"')[::2])
    if _may_exceed_values(plain):
        _refuse_json("json_size", _TOO_MANY_VALUES)
    if _may_exceed_digits(plain):
        _refuse_json("json_number", f"A number has more than {MAX_DIGITS} digits.")


def _check_values(root: Any, *, may_have_nul: bool) -> bool:
    """Check the depth, keys and strings. Returns whether all numbers are finite."""
    level, depth, is_finite = [root], 0, True
    while level:
        objects: list[dict[str, Any]] = [value for value in level if type(value) is dict]
        lists: list[list[Any]] = [value for value in level if type(value) is list]
        depth += 1
        if depth > MAX_DEPTH and (objects or lists):
            _refuse_json("json_depth", f"Nested more than {MAX_DEPTH} deep.")
        _check_keys(list(chain.from_iterable(objects)), may_have_nul=may_have_nul)
        if may_have_nul:
            _check_nul(value for value in level if type(value) is str)
        is_finite = is_finite and all(map(math.isfinite, [value for value in level if type(value) is float]))
        level = [*chain.from_iterable(lists), *chain.from_iterable(value.values() for value in objects)]
    return is_finite


def _check_keys(keys: list[str], *, may_have_nul: bool) -> None:
    is_long = max(map(len, keys), default=0) > MAX_KEY_BYTES // 4  # a character has four bytes at most
    if is_long and max(len(key.encode()) for key in keys) > MAX_KEY_BYTES:
        _refuse_json("json_text", f"A key has more than {MAX_KEY_BYTES} bytes.")
    if may_have_nul:
        _check_nul(keys)


def _check_nul(texts: Iterable[str]) -> None:
    if any("\x00" in text for text in texts):
        _refuse_json("json_nul", "Text contains a NUL character.")


def _replace_ignored_nan(value: Any) -> Any:
    """Return the value with null for NaN and infinities in those parts of nodes that ComfyUI ignores."""
    if isinstance(value, list):
        return [_replace_ignored_nan(item) for item in value]
    if not isinstance(value, dict):
        return value
    is_node = isinstance(value.get("class_type"), str) and isinstance(value.get("inputs"), dict)
    return {
        key: _replace_non_finite(item) if is_node and key not in _NODE_KEYS else _replace_ignored_nan(item)
        for key, item in value.items()
    }


def _replace_non_finite(value: Any) -> Any:
    if isinstance(value, list):
        return [_replace_non_finite(item) for item in value]
    if isinstance(value, dict):
        return {key: _replace_non_finite(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _check_finite(value: Any, pointer: str) -> None:
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in parts:
        _check_finite(item, f"{pointer}/{escape_pointer_key(key)}")
    if isinstance(value, float) and not math.isfinite(value):
        _refuse_json(
            "json_number", "NaN and infinite numbers are refused. Send a finite number or null.", pointer[:MAX_POINTER]
        )


def _build_json_pointer(path: tuple[int | str, ...]) -> str:
    return "".join("/" + escape_pointer_key(part) for part in path)[:MAX_POINTER]


def _refuse_json(code: str, message: str, pointer: str = "") -> NoReturn:
    raise Malformed(errors=(FieldError(pointer=pointer, code=code, message=message),)) from None
