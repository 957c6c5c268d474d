"""The WebSocket side: who is connected, who owns the running prompt, and one loop that sends everything in order.

Nothing is kept for a socket that is not there, and one socket that stops reading holds up all others: both are how
ComfyUI 0.3 to 0.33 behave, and what a client has to survive.
"""

import asyncio
import uuid
from typing import Any

from aiohttp import web

from simnode import frames
from simnode.faults import FaultBoard
from simnode.wire import Document


class Hub:
    """All sockets by session id, plus the outgoing queue.

    Attributes:
        client_id: owner of the prompt that runs or ran last; None when it had none. Any JSON value, unchecked: an
            unhashable one breaks the sending loop and with it the process.
        last_node_id: node that executes now, told to its owner on reconnect.
    """

    def __init__(self, faults: FaultBoard) -> None:
        self.client_id: Any = None
        self.last_node_id: str | None = None
        self._sockets: dict[str, web.WebSocketResponse] = {}
        self._flags: dict[str, Document] = {}
        self._transports: dict[web.WebSocketResponse, asyncio.Transport | None] = {}
        self._outbox: asyncio.Queue[tuple[str | bytes, Document, Any]] = asyncio.Queue()
        self._faults = faults
        self._foreign_prompt = str(uuid.uuid4())

    def register(self, sid: str, socket: web.WebSocketResponse, transport: asyncio.Transport | None) -> None:
        """Make a socket the receiver of a session id, displacing another one silently."""
        self._sockets[sid] = socket
        self._flags[sid] = {}
        self._transports[socket] = transport

    def forget(self, sid: str, socket: web.WebSocketResponse) -> None:
        """Clean up after a closed socket: by session id, even if a newer socket holds it by now (upstream bug)."""
        self._sockets.pop(sid, None)
        self._flags.pop(sid, None)
        self._transports.pop(socket, None)

    def set_flags(self, sid: str, flags: Document) -> None:
        """Remember what a client declared it supports, for the life of its connection."""
        self._flags[sid] = flags

    def owner_supports_metadata(self) -> bool:
        """Whether the owner of the prompt takes preview frames of type 4."""
        if not isinstance(self.client_id, str):
            return False
        return self._flags.get(self.client_id, {}).get("supports_preview_metadata") is True

    def send(self, event: str, data: Document, sid: Any = None) -> None:
        """Queue a JSON event for one session, or for every socket if ``sid`` is None."""
        if "prompt_id" in data and self._faults.fire("foreign_events"):
            self._outbox.put_nowait((event, {**data, "prompt_id": self._foreign_prompt}, sid))
        self._put(event, data, sid)

    def send_frame(self, frame: bytes, sid: Any = None) -> None:
        """Queue a binary frame for one session, or for every socket if ``sid`` is None."""
        if self._faults.fire("picture_lost"):
            self.drop_all()
            return
        self._put(frame, {}, sid)

    def send_text(self, node_id: str, text: str) -> None:
        """Queue a TEXT frame; always for every socket, whoever owns the prompt."""
        self.send_frame(frames.progress_text(node_id, text))

    async def greet(self, sid: str, queue_remaining: int) -> None:
        """Tell a fresh connection its state: the queue length and, if its own prompt runs, the active node."""
        if self._faults.fire("ws_stall"):
            return
        status = {"status": {"exec_info": {"queue_remaining": queue_remaining}}, "sid": sid}
        await self._deliver("status", status, sid)
        if self.client_id == sid and self.last_node_id is not None:
            await self._deliver("executing", {"node": self.last_node_id}, sid)

    async def publish(self) -> None:
        """Send queued events one by one, for ever. Any failure but a lost connection ends it, and so the process."""
        while True:
            event, data, sid = await self._outbox.get()
            if self._faults.fire("ws_stall"):
                await self._faults.until_clear("ws_stall")
            await self._deliver(event, data, sid)

    def drop_all(self) -> int:
        """Cut every connection without a closing handshake; returns how many there were."""
        transports = [transport for transport in self._transports.values() if transport is not None]
        for transport in transports:
            transport.abort()
        return len(transports)

    async def close(self) -> None:
        """Close every socket politely, at the end of the node."""
        for socket in list(self._transports):
            await socket.close(code=1001)

    def _put(self, event: str | bytes, data: Document, sid: Any) -> None:
        self._outbox.put_nowait((event, data, sid))
        if self._faults.fire("events_twice"):
            self._outbox.put_nowait((event, data, sid))

    async def _deliver(self, event: str | bytes, data: Document, sid: Any) -> None:
        if sid is None:
            for socket in list(self._sockets.values()):
                await _write(socket, event, data)
        elif sid in self._sockets:
            await _write(self._sockets[sid], event, data)


async def _write(socket: web.WebSocketResponse, event: str | bytes, data: Document) -> None:
    try:
        if isinstance(event, bytes):
            await socket.send_bytes(event)
        else:
            await socket.send_json({"type": event, "data": data})
    except ConnectionError:
        return
