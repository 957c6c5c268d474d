"""Converts JSON values to the dataclasses of this package, and back.

Unknown fields are ignored; a missing field gets its default.
"""

from typing import Any, TypeVar

import msgspec

from comfyfleet_client.errors import UnreadableResponse

T = TypeVar("T")


def from_json(kind: type[T], value: Any) -> T:
    """Convert a JSON value to ``kind``, which is a dataclass.

    Raises:
        UnreadableResponse: the value does not have that shape. The message names the field.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise UnreadableResponse(f"The response is not a valid {kind.__name__}: {error}") from error


def build_json_value(value: Any) -> Any:
    """Convert dataclasses to a JSON value. Times become RFC 3339 text."""
    return msgspec.to_builtins(value)
