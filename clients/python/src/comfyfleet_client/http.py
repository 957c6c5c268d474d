"""What httpx and websockets say, in the words of this package."""

from collections.abc import Mapping

import httpx
from websockets.exceptions import ConnectionClosed, InvalidStatus

from comfyfleet_client.errors import Unreachable
from comfyfleet_client.steps import Answer, Closed, HandshakeRefused

MAX_FRAME = 1 << 24  # bytes; a snapshot names every output of a job
NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


def lost(error: httpx.HTTPError) -> Unreachable:
    """That no (whole) answer came."""
    return Unreachable(f"{error or type(error).__name__}", sent=not isinstance(error, NOT_SENT))


def lower(headers: httpx.Headers) -> Mapping[str, str]:
    """Headers with names in lower case."""
    return dict(headers.items())


def of_handshake(refused: InvalidStatus) -> HandshakeRefused:
    """That the server did not want a websocket."""
    response = refused.response
    headers = {name.lower(): value for name, value in response.headers.raw_items()}
    return HandshakeRefused(Answer(response.status_code, headers, bytes(response.body or b"")))


def socket_closed(closed: ConnectionClosed) -> Closed:
    """How a websocket ended."""
    return Closed(closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else Closed(1006, "cut")
