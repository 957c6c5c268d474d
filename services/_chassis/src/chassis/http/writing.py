"""uvicorn's protocols, but a peer that stops reading is cut off."""

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame

MAX_PIECES = 64  # of a message


class UnreadHttp(HttpToolsProtocol):
    """uvicorn 0.54's protocol, but a peer to whom nothing could be sent for ``unread_s`` seconds is cut off.

    uvicorn waits for it for ever, even after it has closed the connection itself. There is a timer only while something
    is left to send.
    """

    unread_s: ClassVar[float]

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._watching: asyncio.TimerHandle | None = None
        self._unsent = 0

    def pause_writing(self) -> None:
        """More waits to be sent than should."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        """The peer has read."""
        super().resume_writing()
        self._unsent = 0

    def on_response_complete(self) -> None:
        """An answer is given, though perhaps not sent."""
        super().on_response_complete()
        self._watch_end()

    def timeout_keep_alive_handler(self) -> None:
        """No other request came."""
        super().timeout_keep_alive_handler()
        self._watch_end()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is left to watch."""
        self._unwatch()
        super().connection_lost(exc)

    def _watch_end(self) -> None:
        """If the connection is being closed: it ends only once all is sent."""
        if self.transport.is_closing():
            self._watch()

    def _watch(self) -> None:
        if self._watching is None:
            self._unsent = self.transport.get_write_buffer_size()
            self._watching = self.loop.call_later(self.unread_s, self._look_at_unsent)

    def _unwatch(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            self._watching = None

    def _look_at_unsent(self) -> None:
        self._watching = None
        before, left = self._unsent, self.transport.get_write_buffer_size()
        if not (self.flow.write_paused or self.transport.is_closing()):
            return
        if 0 < before <= left:
            self.transport.abort()
        else:
            self._watch()


class BoundedWebSockets(WebSocketsSansIOProtocol):
    """uvicorn 0.54's protocol, but a connection whose peer stopped reading is cut once its application returns.

    uvicorn only closes the transport then, which waits for what is buffered to be read: for ever. Also, who pings and
    reads no answer is cut, and a message has a bounded number of pieces.
    """

    on_lost: Callable[[], None] | None = None

    def handle_ping(self) -> None:
        """Answer a ping, if answers are read."""
        super().handle_ping()
        if not self.writable.is_set():
            self.transport.abort()

    def handle_cont(self, event: Frame) -> None:
        """Take a piece of a message."""
        super().handle_cont(event)
        if len(self.frames) > MAX_PIECES and not self.close_sent:
            self.conn.fail(CloseCode.POLICY_VIOLATION, "too many pieces")
            self.handle_parser_exception()

    async def run_asgi(self) -> None:
        """Run the application for one websocket."""
        await super().run_asgi()
        if not self.writable.is_set():
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever counts connections."""
        super().connection_lost(exc)
        if self.on_lost:
            self.on_lost()
