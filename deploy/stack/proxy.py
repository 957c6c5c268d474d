"""Serves HTTP and WebSocket on one port: ``/ws`` goes to the notifier, everything else to the gateway.

The first request of a connection decides for the whole connection. Nothing after its first line is parsed or changed. A
client that requests ``/ws`` on a connection that it has used for HTTP gets the gateway's 404; browsers and WebSocket
libraries always open a new connection.
"""

import asyncio
import json
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

import uvloop

RETRY_FOR_S = 2.0  # a restarting service is back within this time
RETRY_EVERY_S = 0.05
FIRST_LINE_WITHIN_S = 30.0
FIRST_LINE_BYTES = 16_384  # longer ones go to the gateway, which refuses them
BUFFER_BYTES = 1 << 20
LINGER_S = 1.0

_DETAIL = "A part of the service is restarting. Try again."
_PROBLEM = json.dumps({
    "type": "about:blank",
    "title": "Service Unavailable",
    "status": 503,
    "detail": _DETAIL,
    "code": "service.unavailable",
}).encode()  # fmt: skip
UNAVAILABLE = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: 1\r\n"
    b"Connection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(_PROBLEM), _PROBLEM)
)


@dataclass(frozen=True, slots=True)
class Routes:
    """Loopback ports of the services to which the proxy forwards."""

    gateway: int
    notifier: int

    def choose_port(self, first_line: bytes) -> int:
        """Return the port for a request, by its first line."""
        return self.notifier if is_for_notifier(first_line) else self.gateway


def is_for_notifier(first_line: bytes) -> bool:
    """Whether a request with this first line goes to the notifier."""
    words = first_line.split(b" ")
    path = urlsplit(words[1]).path if len(words) > 1 else b""
    return path == b"/ws" or path.startswith(b"/ws/")


class ProxySide(asyncio.Protocol):
    """One side of a proxied connection. It forwards received bytes to ``other``, with flow control."""

    def __init__(self, other: "ProxySide | None" = None) -> None:
        self.other = other
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport; never delay small packets."""
        # uvloop's transport has the methods but not the base class
        self.transport = transport = cast("asyncio.Transport", transport)
        transport.set_write_buffer_limits(high=BUFFER_BYTES)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        if self.other and self.other.transport:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        """Stop reading the other side while this one is slow."""
        if self.other and self.other.transport:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Close the other side. Data that was sent to it still arrives, unless this side failed."""
        other, self.other, self.transport = self.other, None, None
        if other and other.transport:
            other.other = None
            if exc is None:
                other.transport.close()
            else:
                other.transport.abort()


class ClientSide(ProxySide):
    """An incoming connection. Its target is chosen when its first line is complete.

    Args:
        choose_port: returns the port for a request, by its first line; called again if nothing listens there.
        retry_for_s: how long a request waits for its target.
    """

    def __init__(self, choose_port: Callable[[bytes], int], *, retry_for_s: float = RETRY_FOR_S) -> None:
        super().__init__()
        self._retry_for_s = retry_for_s
        self._port_of = choose_port
        self._received = b""
        self._connecting: asyncio.Task[None] | None = None
        self._refused = False
        self._deadline = asyncio.get_running_loop().call_later(FIRST_LINE_WITHIN_S, self._close_connection)

    def data_received(self, data: bytes) -> None:
        """Choose the target by the first line, then forward."""
        if self.other:
            super().data_received(data)
            return
        if self._refused:
            return
        self._received = (self._received + data).lstrip(b"\r\n") if not self._connecting else self._received + data
        line, found, _ = self._received.partition(b"\r\n")
        if self._connecting is None and (found or len(line) > FIRST_LINE_BYTES):
            self._deadline.cancel()
            if self.transport:
                self.transport.pause_reading()
            self._connecting = asyncio.ensure_future(self._connect_to_backend(line))

    def connection_lost(self, exc: Exception | None) -> None:
        """Close the other side, or cancel the attempt to connect to it."""
        self._deadline.cancel()
        if self._connecting:
            self._connecting.cancel()
        super().connection_lost(exc)

    async def _connect_to_backend(self, first_line: bytes) -> None:
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self._retry_for_s
        while True:
            try:
                port = self._port_of(first_line)
                _, backend = await loop.create_connection(lambda: ProxySide(self), "127.0.0.1", port)
                break
            except OSError:
                if loop.time() > give_up:
                    self._refuse_request()
                    return
            await asyncio.sleep(RETRY_EVERY_S)
        if self.transport is None or backend.transport is None:
            if backend.transport:
                backend.transport.close()
            return
        backend.transport.write(self._received)
        self.other, self._received = backend, b""
        self.transport.resume_reading()

    def _refuse_request(self) -> None:
        """Respond with 503 and read on for a moment: closing with unread bytes would discard the response."""
        if self.transport:
            self._refused = True
            self.transport.write(UNAVAILABLE)
            if self.transport.can_write_eof():
                self.transport.write_eof()
            self.transport.resume_reading()
            asyncio.get_running_loop().call_later(LINGER_S, self._close_connection)

    def _close_connection(self) -> None:
        if self.transport:
            self.transport.close()


async def serve(listener: socket.socket, routes: Routes) -> None:
    """Serve connections from ``listener`` until SIGTERM."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    server = await loop.create_server(lambda: ClientSide(routes.choose_port), sock=listener, backlog=1024)
    await stopped.wait()
    server.close()


def main(argv: list[str]) -> None:
    """Run as a process. Arguments: descriptor of the listening socket, port of the gateway, port of the notifier."""
    descriptor, gateway, notifier = map(int, argv)
    listener = socket.socket(fileno=descriptor)
    listener.setblocking(False)
    uvloop.run(serve(listener, Routes(gateway, notifier)))
