"""Runs the HTTP server of a process and stops it without failing a request."""

import asyncio
import socket
from contextlib import suppress
from types import FrameType

import uvicorn

from chassis.http.connection import LimitedHttpProtocol
from chassis.shutdown import Shutdown


class Server(uvicorn.Server):
    """uvicorn 0.54's server with a ``Shutdown``.

    After the first SIGTERM or SIGINT it keeps serving for ``delay_s``, and until the work that is registered with
    ``shutdown`` is drained; then it closes the listener and finishes running requests, at most
    ``timeout_graceful_shutdown`` seconds of its configuration. A second signal ends the drain; a third one aborts.

    Idle connections stay open after a delay (``LimitedHttpProtocol.shutdown``). Without a delay, or after a second
    signal, they are closed at once.
    """

    def __init__(self, config: uvicorn.Config, shutdown: Shutdown, *, delay_s: float) -> None:
        super().__init__(config)
        self._shutdown, self._delay_s = shutdown, delay_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._draining: asyncio.Task[None] | None = None

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal."""
        with suppress(KeyboardInterrupt):  # uvicorn raises SIGINT again at the end
            super().run(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle SIGINT and SIGTERM."""
        if not self.should_exit or self._loop is None:
            super().handle_exit(sig, frame)
        elif not self._shutdown.forced.is_set():
            self._loop.call_soon_threadsafe(self._shutdown.forced.set)
        else:
            self.force_exit = True

    async def main_loop(self) -> None:
        """Serve until everything is drained after a signal."""
        self._loop = asyncio.get_running_loop()
        await super().main_loop()

    async def on_tick(self, counter: int) -> bool:
        """Start to drain after a signal. Returns whether the listener can be closed."""
        if await super().on_tick(counter) and self._draining is None:
            self._draining = asyncio.create_task(self._shutdown.begin(delay_s=self._delay_s), name="shutdown.drain")
            await asyncio.sleep(0)
        return self._draining is not None and (self._draining.done() or self.force_exit)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the listener, finish running requests, stop the application."""
        self._shutdown.begun.set()  # also for a server that is stopped without a signal
        self._shutdown.closing.set()
        closing_idle = asyncio.create_task(self._close_idle_connections(), name="shutdown.close_idle")
        try:
            await super().shutdown(sockets)
        finally:
            closing_idle.cancel()

    async def _close_idle_connections(self) -> None:
        if self._delay_s > 0:
            await self._shutdown.forced.wait()
        for connection in list(self.server_state.connections):
            if isinstance(connection, LimitedHttpProtocol):
                connection.close_after_response()
