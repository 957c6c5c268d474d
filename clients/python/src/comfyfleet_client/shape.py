"""Converts JSON to frozen dataclasses and back.

Unknown fields are ignored; missing ones take their defaults.
"""

from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import datetime
from functools import cache, partial
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from comfyfleet_client.errors import Unreadable

T = TypeVar("T")


def read(kind: type[T], value: Any) -> T:
    """Parse the value as ``kind``, a dataclass.

    Raises:
        Unreadable: the value has another shape.
    """
    try:
        return _read(kind, value)  # type: ignore[no-any-return]
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise Unreadable(f"The answer is no {kind.__name__}: {error}") from error


def plain(value: Any) -> Any:
    """Return the value as JSON data."""
    if is_dataclass(value):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return {key: plain(item) for key, item in value.items()} if isinstance(value, dict) else value


def _read(kind: Any, value: Any) -> Any:
    if isinstance(kind, type) and is_dataclass(kind):
        return kind(**{name: _field(each, type_, value) for name, each, type_ in _shape(kind)})
    if get_origin(kind) is UnionType:  # an optional type
        return None if value is None else _read(get_args(kind)[0], value)
    if get_origin(kind) is tuple:
        return tuple(map(partial(_read, get_args(kind)[0]), value))
    if get_origin(kind) is dict:
        return {key: _read(get_args(kind)[1], item) for key, item in value.items()}
    if kind is datetime:
        return datetime.fromisoformat(value)
    return _verify_download(get_origin(kind) or kind, value)


def _verify_download(kind: Any, value: Any) -> Any:
    if kind is float and type(value) is int:
        return float(value)
    if kind is not Any and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
        raise TypeError(f"a {kind.__name__} was expected")
    return value


def _field(each: Field[Any], kind: Any, value: dict[str, Any]) -> Any:
    if each.name in value:
        return _read(kind, value[each.name])
    if each.default is not MISSING:
        return each.default
    if each.default_factory is not MISSING:
        return each.default_factory()
    raise KeyError(each.name)


@cache
def _shape(kind: Any) -> tuple[tuple[str, Field[Any], Any], ...]:
    hints = get_type_hints(kind)
    return tuple((each.name, each, hints[each.name]) for each in fields(kind))
