"""A socket on the node that is open before there is a prompt to follow."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from executor.clients.comfyui_events import NodeEvents
from executor.domain.attempt import Record


def mark_of(node_name: str) -> str:
    """What the client ids of a node's executors begin with."""
    return f"comfyfleet.{node_name}."


class Standby:
    """Keeps one open socket under a fresh client id, ready for the next attempt.

    A client id is never used for two prompts, nor by two sockets at a time: ComfyUI forgets the newer of two.

    Args:
        url: of the node.
        node_name: as the fleet knows it.
    """

    def __init__(self, url: str, node_name: str) -> None:
        self._url, self._mark = url, mark_of(node_name)
        self._ready: NodeEvents | None = None
        self._closing: set[asyncio.Task[None]] = set()

    def client_id(self) -> str:
        """The id under which the next attempt is to be posted; its socket is being opened."""
        if self._ready is None:
            self._ready = NodeEvents(self._url, self._mark + uuid4().hex)
            self._ready.open()
        return self._ready.client_id

    @asynccontextmanager
    async def following(self, record: Record) -> AsyncIterator[NodeEvents]:
        """The socket of an attempt, closed afterwards: the waiting one if it is this attempt's, else a new one."""
        ready, self._ready = self._ready, None
        if ready is not None and ready.client_id != record.client_id:
            self._let_go(ready)
            ready = None
        if ready is None:
            ready = NodeEvents(self._url, record.client_id)
            ready.open()
        try:
            yield ready
        finally:
            self._let_go(ready)

    async def close(self) -> None:
        """Close what waits, and wait for what is being closed."""
        if self._ready is not None:
            self._let_go(self._ready)
        await asyncio.gather(*self._closing)

    def _let_go(self, events: NodeEvents) -> None:
        """Close behind the job's back: saying goodbye takes a round trip, or a second if the node does not answer."""
        task = asyncio.create_task(events.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
