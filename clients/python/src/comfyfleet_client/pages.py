"""Iterates over paged lists."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from comfyfleet_client.call import Call
from comfyfleet_client.caller import Caller
from comfyfleet_client.steps import EmitValue, Flow

PAGE_SIZE = 100  # the API's maximum page size


class Page(Protocol):
    """One page of a list."""

    @property
    def items(self) -> Sequence[Any]:
        pass

    @property
    def next_cursor(self) -> str | None:
        """Cursor of the next page; None on the last."""


P = TypeVar("P", bound=Page)


def iterate_pages(caller: Caller, page: Callable[[str | None], Call[P]]) -> Flow[None]:
    """Emit the items of all pages, fetching each page when needed."""
    cursor: str | None = None
    while True:
        response = yield from caller.execute(page(cursor))
        for item in response.items:
            yield EmitValue(item)
        cursor = response.next_cursor
        if cursor is None:
            return
