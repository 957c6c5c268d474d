"""Translates results and exceptions of httpx and websockets."""

from collections.abc import Mapping

import httpx
from websockets.exceptions import ConnectionClosed, InvalidStatus

from comfyfleet_client.errors import ServerUnreachable
from comfyfleet_client.steps import HandshakeRefused, Response, WebSocketClosed

MAX_FRAME = 1 << 24  # bytes; a snapshot contains every output of a job
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


def build_unreachable_error(error: httpx.HTTPError) -> ServerUnreachable:
    """Translate a missing or incomplete response."""
    return ServerUnreachable(f"{error or type(error).__name__}", sent=not isinstance(error, NOT_SENT))


def lower_case_names(headers: httpx.Headers) -> Mapping[str, str]:
    """Return headers with lower-case names."""
    return dict(headers.items())


def build_handshake_error(refused: InvalidStatus) -> HandshakeRefused:
    """Translate a refused websocket handshake."""
    response = refused.response
    headers = {name.lower(): value for name, value in response.headers.raw_items()}
    return HandshakeRefused(Response(response.status_code, headers, bytes(response.body or b"")))


def build_closed_error(closed: ConnectionClosed) -> WebSocketClosed:
    """Translate how a websocket was closed."""
    return WebSocketClosed(closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else WebSocketClosed(1006, "cut")
