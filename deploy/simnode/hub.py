"""WebSocket connections, the owner of the running prompt, and the loop that sends all messages in order.

Messages for a disconnected socket are lost, and one socket that stops reading blocks all others. ComfyUI 0.3 to 0.33
behave like that, so clients have to cope with it.
"""

import asyncio
import uuid
from typing import Any

from aiohttp import web

from simnode import frames
from simnode.faults import ArmedFaults
from simnode.wire import Document


class Hub:
    """All sockets by session id, and the queue of outgoing messages.

    Attributes:
        client_id: owner of the current or latest prompt; None if it had none. Any JSON value, unchecked: an unhashable
            one breaks the sending loop and ends the process.
        last_node_id: the executing node, sent to the owner on reconnection.
    """

    def __init__(self, faults: ArmedFaults) -> None:
        self.client_id: Any = None
        self.last_node_id: str | None = None
        self._sockets: dict[str, web.WebSocketResponse] = {}
        self._flags: dict[str, Document] = {}
        self._transports: dict[web.WebSocketResponse, asyncio.Transport | None] = {}
        self._outbox: asyncio.Queue[tuple[str | bytes, Document, Any]] = asyncio.Queue()
        self._faults = faults
        self._foreign_prompt = str(uuid.uuid4())

    def register(self, sid: str, socket: web.WebSocketResponse, transport: asyncio.Transport | None) -> None:
        """Make a socket the receiver of a session id. It silently replaces an earlier socket."""
        self._sockets[sid] = socket
        self._flags[sid] = {}
        self._transports[socket] = transport

    def unregister(self, sid: str, socket: web.WebSocketResponse) -> None:
        """Clean up after a closed socket: by session id, even if a newer socket has it by now (upstream bug)."""
        self._sockets.pop(sid, None)
        self._flags.pop(sid, None)
        self._transports.pop(socket, None)

    def set_flags(self, sid: str, flags: Document) -> None:
        """Store a client's feature flags for the life of its connection."""
        self._flags[sid] = flags

    def owner_supports_metadata(self) -> bool:
        """Whether the owner of the prompt accepts preview frames of type 4."""
        if not isinstance(self.client_id, str):
            return False
        return self._flags.get(self.client_id, {}).get("supports_preview_metadata") is True

    def send(self, event: str, data: Document, sid: Any = None) -> None:
        """Queue a JSON event for one session, or for every socket if ``sid`` is None."""
        if "prompt_id" in data and self._faults.trigger("foreign_events"):
            self._outbox.put_nowait((event, {**data, "prompt_id": self._foreign_prompt}, sid))
        self._put_event(event, data, sid)

    def send_frame(self, frame: bytes, sid: Any = None) -> None:
        """Queue a binary frame for one session, or for every socket if ``sid`` is None."""
        if self._faults.trigger("picture_lost"):
            self.abort_connections()
            return
        self._put_event(frame, {}, sid)

    def send_text(self, node_id: str, text: str) -> None:
        """Queue a text frame (type 3), always for every socket."""
        self.send_frame(frames.encode_progress_text(node_id, text))

    async def send_initial_messages(self, sid: str, queue_remaining: int) -> None:
        """Send a new connection its state: the queue length and, if its own prompt runs, the executing node."""
        if self._faults.trigger("ws_stall"):
            return
        status = {"status": {"exec_info": {"queue_remaining": queue_remaining}}, "sid": sid}
        await self._deliver_event("status", status, sid)
        if self.client_id == sid and self.last_node_id is not None:
            await self._deliver_event("executing", {"node": self.last_node_id}, sid)

    async def publish(self) -> None:
        """Send queued events one by one, forever.

        Any failure except a lost connection ends the loop and the process.
        """
        while True:
            event, data, sid = await self._outbox.get()
            if self._faults.trigger("ws_stall"):
                await self._faults.wait_until_disarmed("ws_stall")
            await self._deliver_event(event, data, sid)

    def abort_connections(self) -> int:
        """Abort every connection without a closing handshake; returns their number."""
        transports = [transport for transport in self._transports.values() if transport is not None]
        for transport in transports:
            transport.abort()
        return len(transports)

    async def close(self) -> None:
        """Close every socket with a closing handshake."""
        for socket in list(self._transports):
            await socket.close(code=1001)

    def _put_event(self, event: str | bytes, data: Document, sid: Any) -> None:
        self._outbox.put_nowait((event, data, sid))
        if self._faults.trigger("events_twice"):
            self._outbox.put_nowait((event, data, sid))

    async def _deliver_event(self, event: str | bytes, data: Document, sid: Any) -> None:
        if sid is None:
            for socket in list(self._sockets.values()):
                await _write_frame(socket, event, data)
        elif sid in self._sockets:
            await _write_frame(self._sockets[sid], event, data)


async def _write_frame(socket: web.WebSocketResponse, event: str | bytes, data: Document) -> None:
    try:
        if isinstance(event, bytes):
            await socket.send_bytes(event)
        else:
            await socket.send_json({"type": event, "data": data})
    except ConnectionError:
        return
