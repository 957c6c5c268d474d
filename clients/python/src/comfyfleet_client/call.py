"""Requests as values: what to send, and how to read the answer. Nothing here talks to anybody."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from comfyfleet_client.shape import read

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """One request.

    Attributes:
        path: below ``/api/v1``.
        query: what is None is left out.
        body: sent as JSON, bytes as they are with the Content-Type among ``headers``; None for no body.
        repeatable: whether sending it twice does what sending it once does.
        anonymous: it goes without a credential.
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
        """The query as it is sent."""
        return {name: _word(value) for name, value in self.query.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request, and what its answer is: ``read`` takes the decoded body, None where there is none."""

    request: Request
    read: Callable[[Any], T]


def reads(kind: type[T]) -> Callable[[Any], T]:
    """Reads an answer as this dataclass."""
    return lambda body: read(kind, body)


def nothing(_body: Any) -> None:
    """Reads an answer that says no more than that it is done."""


def segment(text: str) -> str:
    """One segment of a path, whatever is in it: an id with a slash is not another route."""
    return quote(text, safe="") if text not in {"", ".", ".."} else "-"


def given(**values: Any) -> dict[str, Any]:
    """What was given: all that is not None."""
    return {name: value for name, value in values.items() if value is not None}


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
