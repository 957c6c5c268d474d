"""JSON from outside: what Python's parser lets through and we do not.

Duplicate keys, NaN and infinities, NUL, lone surrogates, deep nesting and more parts than anybody needs are refused:
each of them is stored, compared or answered differently somewhere further in, or costs more than it is worth. Integers
keep every digit. A byte order mark is skipped, and NaN becomes null where ComfyUI ignores it: in a workflow's node
beside ``class_type`` and ``inputs``.
"""

import json
import math
import re
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from contracts.wire.errors import FieldError
from contracts.wire.field_messages import field_message
from gateway.edge.errors import InvalidRequest, Malformed
from gateway.edge.json_faults import find_duplicate_key, find_syntax_error

MAX_BYTES = 8 << 20  # the largest workflow worth running is far below
MAX_DEPTH = 32
MAX_VALUES = 100_000
MAX_KEY = 1024  # bytes
MAX_ERRORS = 100
MAX_DIGITS = 100  # of an integer in a large body: to read one takes time by the square of its length
MAX_FLOAT = 1_000  # characters
SMALL = 32 * 1024  # bytes of a body that no number can make slow
MAX_COUNTED_ERRORS = 200  # of one value; to describe more takes longer than to find them
MAX_POINTER = 256  # a pointer holds the client's own keys, which may be as long as the body

_NESTED = frozenset({dict, list})
_LONG = re.compile(rb'"[^"]{%d}' % MAX_KEY)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_NODE_KEYS = frozenset({"class_type", "inputs"})  # of a workflow's node: those that ComfyUI reads

M = TypeVar("M", bound=BaseModel)


def read_json(body: bytes) -> Any:
    """The value in a request body.

    Raises:
        Malformed: it is not JSON, or JSON that means different things to different readers.
    """
    body = body.removeprefix(_BYTE_ORDER_MARK)
    if _values(body) > MAX_VALUES:
        _refuse("json_size", f"More than {MAX_VALUES} values and keys.")
    may_be_infinite = b"NaN" in body or b"Infinity" in body
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        _refuse("json_encoding", "The body is not UTF-8.")
    value = _decoded(text, _decoder_of(body, may_be_infinite))
    _check_depth(value)
    if may_be_infinite:
        value = _without_ignored_nan(value)
        _check_finite(value, "")
    if _may_be_unfit(body):
        _check_texts(value)
    return value


def _decoded(text: str, decoder: json.JSONDecoder) -> Any:
    try:
        return decoder.decode(text)
    except RecursionError:
        _refuse("json_depth", f"Nested more than {MAX_DEPTH} deep.")
    except _DuplicateKeyError:
        _refuse("json_duplicate_key", find_duplicate_key(text))
    except json.JSONDecodeError as error:
        _refuse("json_invalid", find_syntax_error(error))
    except ValueError:  # an integer of thousands of digits
        _refuse("json_invalid", "The body is not JSON.")


def read_model(model: type[M], value: Any) -> M:
    """The value as a model.

    Raises:
        InvalidRequest: it has another shape. Says where and why, never what was sent.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        if error.error_count() > MAX_COUNTED_ERRORS:
            message = f"This has {error.error_count()} errors. Send only fields that exist."
            raise InvalidRequest(errors=(FieldError(code="too_many_errors", message=message),)) from None
        found = error.errors(include_url=False, include_input=False)
        raise InvalidRequest(
            errors=tuple(
                FieldError(
                    pointer=_pointer(item["loc"]),
                    code=item["type"],
                    message=field_message(item, model.model_fields if len(item["loc"]) == 1 else ()),
                )
                for item in found[:MAX_ERRORS]
            )
        ) from None


def _values(body: bytes) -> int:
    """How many values and keys there are, at most; counted before anything is made of them, and in C."""
    if _marks(body) <= MAX_VALUES:
        return 0
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")  # what is left of quotes begins or ends a text
    if plain.count(b'"') > 2 * MAX_VALUES:
        return MAX_VALUES + 1
    return _marks(b"".join(plain.split(b'"')[::2]))


def _marks(text: bytes) -> int:
    return 1 + sum(map(text.count, (b",", b":", b"[", b"{")))


class _DuplicateKeyError(Exception):
    """An object has a key twice."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _DuplicateKeyError
    return found


def _constant(_name: str) -> NoReturn:
    _refuse("json_number", "NaN and infinities are not JSON.")


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        _refuse("json_number", f"An integer has more than {MAX_DIGITS} digits.")
    return int(text)


def _float(text: str) -> float:
    if len(text) > MAX_FLOAT:
        _refuse("json_number", f"A number has more than {MAX_FLOAT} characters.")
    value = float(text)
    if value - value != 0:  # an infinity, from 1e999
        _refuse("json_number", "A number is too large for any computer.")
    return value


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_float, parse_constant=_constant)
_CAREFUL_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant
)
_LENIENT_DECODER = json.JSONDecoder(  # for bodies whose NaN and infinities are looked for afterwards
    object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=float
)


def _decoder_of(body: bytes, may_be_infinite: bool) -> json.JSONDecoder:
    if may_be_infinite:
        return _LENIENT_DECODER
    return _DECODER if len(body) <= SMALL else _CAREFUL_DECODER


def _without_ignored_nan(value: Any) -> Any:
    """The value with null for NaN and infinities in those parts of nodes that ComfyUI ignores."""
    if isinstance(value, list):
        return [_without_ignored_nan(one) for one in value]
    if not isinstance(value, dict):
        return value
    is_node = isinstance(value.get("class_type"), str) and isinstance(value.get("inputs"), dict)
    return {
        key: _finite_or_null(one) if is_node and key not in _NODE_KEYS else _without_ignored_nan(one)
        for key, one in value.items()
    }


def _finite_or_null(value: Any) -> Any:
    if isinstance(value, list):
        return [_finite_or_null(one) for one in value]
    if isinstance(value, dict):
        return {key: _finite_or_null(one) for key, one in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _check_finite(value: Any, pointer: str) -> None:
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in parts:
        _check_finite(one, f"{pointer}/{_escaped(key)}")
    if isinstance(value, float) and not math.isfinite(value):
        _refuse("json_number", "NaN and infinities are not JSON. Send a number, or null.", pointer[:MAX_POINTER])


def _may_be_unfit(body: bytes) -> bool:
    """Whether any text may be: NUL and half a pair need a backslash in JSON that is UTF-8, a long one has no quote."""
    return b"\\" in body or _LONG.search(body) is not None


def _check_depth(root: Any) -> None:
    level = [root]
    for _ in range(MAX_DEPTH):
        level = _inside(level)
        if not level:
            return
    if any(type(value) in _NESTED for value in level):
        _refuse("json_depth", f"Nested more than {MAX_DEPTH} deep.")


def _check_texts(root: Any) -> None:
    level = [root]
    while level:
        for value in level:
            if type(value) is str:
                _check_text(value)
            elif type(value) is dict:
                for key in value:
                    _check_key(key)
        level = _inside(level)


def _inside(level: list[Any]) -> list[Any]:
    """The values in all of these. Exact types: the parser makes no others."""
    return [
        part for value in level if type(value) in _NESTED for part in (value.values() if type(value) is dict else value)
    ]


def _check_key(key: str) -> None:
    if len(key) > MAX_KEY or _check_text(key) > MAX_KEY:
        _refuse("json_text", f"A key has more than {MAX_KEY} bytes.")


def _check_text(text: str) -> int:
    """Its size in bytes. The body bounds it, and a text may be as long: a whole picture in base64."""
    if "\x00" in text:
        _refuse("json_nul", "Text holds a NUL character.")
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        _refuse("json_surrogate", "Text holds half of a surrogate pair.")


def _pointer(path: tuple[int | str, ...]) -> str:
    return "".join("/" + _escaped(part) for part in path)[:MAX_POINTER]


def _escaped(part: int | str) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")


def _refuse(code: str, message: str, pointer: str = "") -> NoReturn:
    raise Malformed(errors=(FieldError(pointer=pointer, code=code, message=message),)) from None
