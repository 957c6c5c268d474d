"""Requests as values: what to send and how to parse the response. No I/O."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from comfyfleet_client.json_values import from_json

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
        path: below ``/api/v1``.
        query: None values are omitted.
        body: sent as JSON; bytes are sent as they are with the Content-Type in ``headers``; None for no body.
        repeatable: whether sending it twice has the same effect as once.
        anonymous: whether it is sent without a credential.
    """

    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True
    anonymous: bool = False

    @property
    def parameters(self) -> dict[str, str]:
        """The query parameters to send."""
        return {name: _format_query_value(value) for name, value in self.query.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request and the parser of its response: ``parse`` takes the decoded body, None without one."""

    request: Request

    parse: Callable[[Any], T]


def build_parser(kind: type[T]) -> Callable[[Any], T]:
    """Return a parser of responses into this dataclass."""
    return lambda body: from_json(kind, body)


def parse_empty(_body: Any) -> None:
    """Parse an empty response."""


def quote_segment(text: str) -> str:
    """Escape one path segment, so that an id with a slash cannot reach another route."""
    return quote(text, safe="") if text not in {"", ".", ".."} else "-"


def omit_none(**values: Any) -> dict[str, Any]:
    """Return the arguments that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def _format_query_value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
