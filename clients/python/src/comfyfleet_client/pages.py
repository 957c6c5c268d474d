"""Walks through lists page by page."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from comfyfleet_client.call import Call
from comfyfleet_client.caller import Caller
from comfyfleet_client.steps import Emit, Flow

PAGE = 100  # the most that the API gives at once


class Page(Protocol):
    """Some of a list."""

    @property
    def items(self) -> Sequence[Any]:
        """What is on it."""

    @property
    def next_cursor(self) -> str | None:
        """What gives the next one; None on the last."""


P = TypeVar("P", bound=Page)


def every(caller: Caller, page: Callable[[str | None], Call[P]]) -> Flow[None]:
    """Emits what is on the page that ``page(None)`` asks for and on all that follow it, each asked for when needed."""
    cursor: str | None = None
    while True:
        answer = yield from caller.ask(page(cursor))
        for item in answer.items:
            yield Emit(item)
        cursor = answer.next_cursor
        if cursor is None:
            return
