"""Sends responses in few writes, and closes connections of peers that do not read."""

import asyncio
from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from typing import Any, ClassVar

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State

MAX_FRAGMENTS = 64  # fragments of a message
SEND_TEXT = "chassis.send_text"  # extension in the ASGI scope of a WebSocket

SendText = Callable[[str], bool]
"""Sends a text at once if the peer reads and the socket is open. Returns whether it was sent."""


class WriteTimeoutHttpProtocol(HttpToolsProtocol):
    """uvicorn 0.54's protocol that aborts a connection if nothing could be sent for ``unread_s`` seconds.

    uvicorn waits for such a peer forever, even after closing the connection itself. The timer only runs while there is
    unsent data.
    """

    unread_s: ClassVar[float]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._write_timer: asyncio.TimerHandle | None = None
        self._unsent = 0

    def pause_writing(self) -> None:
        """Start the timer."""
        super().pause_writing()
        self._start_write_timer()

    def resume_writing(self) -> None:
        """Stop the timer."""
        super().resume_writing()
        self._unsent = 0

    def on_response_complete(self) -> None:
        """Start the timer if the connection is closing: the response is complete, but may not be sent yet."""
        super().on_response_complete()
        self._start_write_timer_if_closing()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, and start the timer if data is unsent."""
        super().timeout_keep_alive_handler()
        self._start_write_timer_if_closing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._stop_write_timer()
        super().connection_lost(exc)

    def _start_write_timer_if_closing(self) -> None:
        """Start the timer if the connection is closing.

        It closes only once all data is sent, so a client that stops reading would keep it open.
        """
        if self.transport.is_closing():
            self._start_write_timer()

    def _start_write_timer(self) -> None:
        if self._write_timer is None:
            self._unsent = self.transport.get_write_buffer_size()
            self._write_timer = self.loop.call_later(self.unread_s, self._check_unsent_bytes)

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _check_unsent_bytes(self) -> None:
        self._write_timer = None
        before, left = self._unsent, self.transport.get_write_buffer_size()
        if not (self.flow.write_paused or self.transport.is_closing()):
            return
        if 0 < before <= left:
            self.transport.abort()
        else:
            self._start_write_timer()


class LimitedWebSocketProtocol(WebSocketsSansIOProtocol):
    """Changes uvicorn 0.54's WebSocket protocol: once the application returns, it aborts a connection that is not read.

    uvicorn only closes the transport, which waits forever for buffered data to be read. A peer that pings without
    reading the pongs is disconnected too, and a message has a maximum number of fragments.
    """

    on_lost: Callable[[], None] | None = None

    def handle_connect(self, event: Request) -> None:
        """Complete the handshake and put ``send_text`` into the ASGI scope; ``find_send_text`` returns it."""
        super().handle_connect(event)
        if self.response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            self.scope["extensions"][SEND_TEXT] = {"send": self.send_text}

    def send_text(self, text: str) -> bool:
        """Send a text at once if the peer reads and the socket is open. Returns whether it was sent."""
        if not (self.writable.is_set() and self.handshake_complete and self.conn.state is State.OPEN):
            return False
        if self.close_sent or self.transport.is_closing():
            return False
        self.transport.write(_encode_text(text))
        return True

    def handle_ping(self) -> None:
        """Answer a ping; abort the connection if the peer does not read."""
        super().handle_ping()
        if not self.writable.is_set():
            self.transport.abort()

    def handle_cont(self, event: Frame) -> None:
        """Receive a fragment of a message; fail the connection after more than ``MAX_FRAGMENTS``."""
        super().handle_cont(event)
        if len(self.frames) > MAX_FRAGMENTS and not self.close_sent:
            self.conn.fail(CloseCode.POLICY_VIOLATION, "too many fragments")
            self.handle_parser_exception()

    async def run_asgi(self) -> None:
        """Run the application for one WebSocket; abort the connection if the peer does not read what was sent."""
        await super().run_asgi()
        if not self.writable.is_set():
            self.transport.abort()

    def shutdown(self) -> None:
        """Close the socket with code 1012. A handshake that is not answered yet is refused with 503, not with 500."""
        if self.handshake_complete or self.initial_response or self.close_sent:
            super().shutdown()
            return
        self.conn.send_response(self.conn.reject(HTTPStatus.SERVICE_UNAVAILABLE, "The server is being stopped."))
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Notify the connection counter."""
        super().connection_lost(exc)
        if self.on_lost:
            self.on_lost()


def find_send_text(scope: Scope) -> SendText | None:
    """Return a function that sends a text over this WebSocket; None if the server does not offer one.

    It is for texts that many sockets receive: it needs no task, bypasses all middleware, and encodes a text once.
    """
    send: SendText | None = scope.get("extensions", {}).get(SEND_TEXT, {}).get("send")
    return send


@lru_cache(maxsize=64)
def _encode_text(text: str) -> bytes:
    """Return the frame of a text. Frames of servers are not masked, so it is the same for every socket."""
    return Frame(Opcode.TEXT, text.encode()).serialize(mask=False)
