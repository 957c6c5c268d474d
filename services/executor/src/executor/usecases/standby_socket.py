"""A websocket to the node that is open before there is a prompt."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

from executor.clients.comfyui_events import NodeEvents
from executor.domain.attempt import AttemptRecord


def build_client_id_prefix(node_name: str) -> str:
    """Return the prefix of all client ids that executors of this node use."""
    return f"comfyfleet.{node_name}."


class StandbySocket:
    """Keeps one open websocket with a new client id ready for the next attempt.

    A client id is never used for two prompts, nor by two sockets at a time: ComfyUI drops the newer one.

    Args:
        url: base URL of the node.
        node_name: name of the node in the fleet.
    """

    def __init__(self, url: str, node_name: str) -> None:
        self._url, self._client_id_prefix = url, build_client_id_prefix(node_name)
        self._ready: NodeEvents | None = None
        self._closing: set[asyncio.Task[None]] = set()

    def next_client_id(self) -> str:
        """Return the client id for the next attempt; its socket is being opened."""
        if self._ready is None:
            self._ready = NodeEvents(self._url, self._client_id_prefix + uuid4().hex)
            self._ready.start()
        return self._ready.client_id

    @asynccontextmanager
    async def open_for_attempt(self, record: AttemptRecord) -> AsyncIterator[NodeEvents]:
        """Yield the attempt's socket and close it after the block. The prepared one is used if it has the client id."""
        ready, self._ready = self._ready, None
        if ready is not None and ready.client_id != record.client_id:
            self._close_in_background(ready)
            ready = None
        if ready is None:
            ready = NodeEvents(self._url, record.client_id)
            ready.start()
        try:
            yield ready
        finally:
            self._close_in_background(ready)

    async def close(self) -> None:
        """Close the prepared socket and wait for sockets being closed."""
        if self._ready is not None:
            self._close_in_background(self._ready)
        await asyncio.gather(*self._closing)

    def _close_in_background(self, events: NodeEvents) -> None:
        """Close in the background: a closing handshake takes a round trip, or a second without an answer."""
        task = asyncio.create_task(events.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
