"""Connection limits of a service: refuses slow clients, and bad requests before they reach the application.

The limits apply to all connections of a server and cost a request almost nothing: bytes are counted as they arrive, and
a connection has one timer, which is set at most once in ten seconds.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar, Literal

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from chassis.http.app import SECURITY_HEADERS
from chassis.http.writing import LimitedWebSocketProtocol, WriteTimeoutHttpProtocol
from chassis.ids import new_id
from chassis.telemetry.logs import log

LINGER_S = 1.0  # time for a refused peer to read the response; an immediate close would discard it
MAX_FRAMING = 64 * 1024  # bytes of chunk sizes, extensions and trailers between two body bytes
MAX_UNREAD = 40 << 20  # body bytes accepted after the response; larger than the largest image

Phase = Literal["head", "body", "none"]


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits of a connection. Times in seconds, sizes in bytes.

    Attributes:
        max_target: size of the request target.
        max_head: total size of the headers; ``max_headers`` is their maximum number.
        head_s: time from the start of a connection, or the first byte of a request, to the end of its headers.
        body_idle_s: longest pause within a body.
        body_grace_s: after this time a body must arrive at ``body_rate`` bytes per second on average.
        slow_body_paths: path prefixes without a rate limit for bodies, because their routes have their own.
        max_connections_per_client: open connections per ``client_key``.
        is_trusted: function that returns whether an address may have unlimited connections, such as our own proxy.
        client_key: function that maps an address to the key under which its connections are counted; a client can have
            several addresses.
        unread_s: maximum time during which no byte of a response can be sent.
        max_pipelined: pipelined requests that can wait on one connection.
    """

    max_target: int = 4096
    max_head: int = 16 * 1024
    max_headers: int = 100
    head_s: float = 10
    body_idle_s: float = 10
    body_grace_s: float = 30
    body_rate: int = 10 * 1024
    slow_body_paths: tuple[bytes, ...] = ()
    max_connections_per_client: int = 1024
    is_trusted: Callable[[str], bool] = lambda _address: False
    client_key: Callable[[str], str] = lambda address: address
    unread_s: float = 60
    max_pipelined: int = 64


class _RequestRefused(Exception):
    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


def create_protocol_class(limits: ConnectionLimits) -> type["LimitedHttpProtocol"]:
    """Return the protocol class of one server. Connections are counted per server."""
    return type(
        "LimitedHttpProtocol",
        (LimitedHttpProtocol,),
        {"limits": limits, "connection_counts": Counter(), "unread_s": limits.unread_s},
    )


class LimitedHttpProtocol(WriteTimeoutHttpProtocol):
    """uvicorn 0.54's protocol with ``limits``. A violation is answered with a problem and closes the connection."""

    limits: ClassVar[ConnectionLimits]
    connection_counts: ClassVar[Counter[str]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._phase: Phase = "head"
        self._phase_began_at = self._last_progress_at = self.loop.time()
        self._size = self._count = self._framing = 0
        self._violation: _RequestRefused | None = None
        self._ignores_data = False
        self._timer: asyncio.TimerHandle | None = None
        self._client_key = ""
        self._is_stopping = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the connection. Refuse it without reading if there are too many."""
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        self._client_key = self.limits.client_key(address)
        self.connection_counts[self._client_key] += 1
        is_over_limit = self.connection_counts[self._client_key] > self.limits.max_connections_per_client
        if is_over_limit and not self.limits.is_trusted(address):
            self._refuse_request(HTTPStatus.TOO_MANY_REQUESTS, "Too many connections from this address.")
        else:
            self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting the connection."""
        self._stop_counting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse bytes. Ignore everything after a refusal, and limit bytes that make no progress."""
        if self._ignores_data:
            return
        if self._phase == "none" and (self.cycle is None or self.cycle.response_complete):
            self._enter_phase("head")  # also for line breaks before a request, which the parser skips
        self._framing += len(data)
        super().data_received(data)
        if self._phase == "head" and self._framing > self.limits.max_head + self.limits.max_target:
            self._refuse_request(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The headers are too large.")
        elif self._phase == "body" and self._framing > MAX_FRAMING:
            self._refuse_request(
                HTTPStatus.BAD_REQUEST, "The chunk sizes, extensions and trailers of the body are too large."
            )

    def on_message_begin(self) -> None:
        """Reset the counters of a request."""
        super().on_message_begin()
        if self._phase != "head":
            self._enter_phase("head")
        self._size = self._count = self._framing = 0

    def on_url(self, url: bytes) -> None:
        """Check the size of the target."""
        super().on_url(url)
        if len(self.url) > self.limits.max_target:
            self._abort_parsing(HTTPStatus.REQUEST_URI_TOO_LONG, "The request target is too long.")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Check the size of the headers. Refuse trailers, which would bypass every check of headers."""
        if self._phase != "head":
            self._abort_parsing(HTTPStatus.BAD_REQUEST, "Trailers are not supported.")
        self._size += len(name) + len(value) + 4
        self._count += 1
        if self._size > self.limits.max_head or self._count > self.limits.max_headers:
            self._abort_parsing(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "There are too many headers, or they are too large."
            )
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Refuse other HTTP versions, ambiguous framing or hosts (request smuggling), and too much pipelining."""
        version = self.parser.get_http_version()
        names = [name for name, _ in self.headers]
        codings = [value.lower() for name, value in self.headers if name == b"transfer-encoding"]
        if version not in {"1.0", "1.1"}:
            self._abort_parsing(HTTPStatus.BAD_REQUEST, "Only HTTP/1.1 is supported.")
        if codings and (codings != [b"chunked"] or version == "1.0" or b"content-length" in names):
            self._abort_parsing(HTTPStatus.BAD_REQUEST, "Send either Content-Length or Transfer-Encoding: chunked.")
        hosts = names.count(b"host")
        if hosts > 1 or (version == "1.1" and not hosts):
            self._abort_parsing(HTTPStatus.BAD_REQUEST, "Send exactly one Host header.")
        if len(self.pipeline) >= self.limits.max_pipelined:
            self._abort_parsing(HTTPStatus.TOO_MANY_REQUESTS, "Too many requests are pipelined on this connection.")
        super().on_headers_complete()
        self._enter_phase("body")
        if self.parser.should_upgrade() and self.cycle:
            self.cycle.keep_alive = False  # an unsupported upgrade: the data that follows is not HTTP/1.1

    def on_body(self, body: bytes) -> None:
        """Record that body data arrived. Refuse more than ``MAX_UNREAD`` bytes if the response is already complete."""
        self._last_progress_at = self.loop.time()
        self._framing = 0
        self._size += len(body)
        if self.cycle and self.cycle.response_complete and self._size > MAX_UNREAD:
            self._abort_parsing(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body continued after the response.")
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Stop watching the speed of a request."""
        self._phase = "none"
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser or one of the checks above rejected."""
        violation = self._violation or _RequestRefused(HTTPStatus.BAD_REQUEST, msg)
        self._refuse_request(violation.status, violation.detail)

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over to the WebSocket protocol. It is still counted."""
        self._ignores_data = True  # only for this protocol
        self._stop_timer()
        self._stop_write_timer()
        super().handle_websocket_upgrade()
        protocol = self.transport.get_protocol()
        if isinstance(protocol, LimitedWebSocketProtocol):
            protocol.on_lost = self._stop_counting
            if self._is_stopping:
                protocol.shutdown()

    def shutdown(self) -> None:
        """Stop without closing a connection on which the client may be sending a request.

        A request that arrives from now on is answered, and its response closes the connection. An idle connection is
        closed by the client, or by the keep-alive timer. That includes one whose last response began before the
        shutdown, such as an event stream: its headers did not tell the client that the connection will be closed.
        """
        self._is_stopping = True
        if not self.cycle:
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        elif not self.cycle.response_started:
            self.cycle.keep_alive = False

    def close_after_response(self) -> None:
        """Close an idle connection at once, any other one after its response."""
        super().shutdown()

    def _abort_parsing(self, status: HTTPStatus, detail: str) -> None:
        """Abort parsing with an exception; the parser then calls ``send_400_response``."""
        self._violation = _RequestRefused(status, detail)
        raise self._violation

    def _refuse_request(self, status: HTTPStatus, detail: str) -> None:
        """Respond if earlier requests are answered; stop reading and close in any case."""
        if self._ignores_data or self.transport.is_closing():
            return
        self._ignores_data = True
        self._unset_keepalive_if_required()
        log.info("http.refused", status=int(status), detail=detail, client=self._client_key)
        running = self.cycle if self.cycle and not self.cycle.response_complete else None
        if running and self._phase == "body" and not self.pipeline and not running.response_started:
            running.disconnected = True
            running.message_event.set()
        elif running:
            if self._phase == "body":
                self.transport.close()
                self._start_write_timer()
            running.keep_alive = False  # closes once earlier requests are answered
            return
        self.transport.write(self._build_refusal(status, detail))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._stop_timer()
        self._timer = self.loop.call_later(LINGER_S, self.transport.abort)

    def _build_refusal(self, status: HTTPStatus, detail: str) -> bytes:
        request_id = new_id().hex
        phrase = status.phrase
        problem = {
            "type": "about:blank",
            "title": phrase,
            "status": int(status),
            "detail": detail,
            "code": "http." + phrase.lower().replace(" ", "_").replace("-", "_"),
            "request_id": request_id,
        }
        body = json.dumps(problem).encode()
        headers = [
            *self.server_state.default_headers,
            *SECURITY_HEADERS,
            (b"content-type", b"application/problem+json"),
            (b"content-length", str(len(body)).encode()),
            (b"x-request-id", request_id.encode()),
            (b"connection", b"close"),
        ]
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            headers.append((b"retry-after", b"1"))
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        return STATUS_LINE[status] + lines + b"\r\n" + body

    def _enter_phase(self, phase: Phase) -> None:
        self._phase = phase
        self._phase_began_at = self._last_progress_at = self.loop.time()
        self._size = 0
        if self._timer is None:
            self._start_timer()

    def _start_timer(self, within_s: float | None = None) -> None:
        limits = self.limits
        self._timer = self.loop.call_later(within_s or min(limits.head_s, limits.body_idle_s), self._check_speed)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stop_counting(self) -> None:
        """Stop counting the connection. Idempotent."""
        self._stop_timer()
        key, self._client_key = self._client_key, ""
        if key:
            self.connection_counts[key] -= 1
            if self.connection_counts[key] <= 0:
                del self.connection_counts[key]

    def _check_speed(self) -> None:
        """Refuse a request that arrives too slowly, else check again later.

        Time during which we do not read does not count.
        """
        self._timer = None
        if self._phase == "none" or self._ignores_data:
            return  # the next request sets it again
        now, limits = self.loop.time(), self.limits
        if self.flow.read_paused or (
            self._phase == "body" and self.scope["raw_path"].startswith(limits.slow_body_paths)
        ):
            self._phase_began_at = self._last_progress_at = now
        if self._phase == "head":
            left_s = self._phase_began_at + limits.head_s - now
        else:
            took_s = now - self._phase_began_at
            late = took_s >= limits.body_grace_s and self._size < took_s * limits.body_rate
            next_s = max(limits.body_idle_s / 10, limits.body_grace_s - took_s)
            left_s = 0 if late else min(self._last_progress_at + limits.body_idle_s - now, next_s)
        if left_s <= 0:
            self._refuse_request(HTTPStatus.REQUEST_TIMEOUT, "The request was sent too slowly.")
        else:
            self._start_timer(left_s)
