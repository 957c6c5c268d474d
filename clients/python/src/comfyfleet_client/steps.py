"""Steps that a flow requests from its runner.

The client logic is written once, as generators ("flows") that yield steps and receive their results. A runner executes
the steps: one with blocking calls (``sync_runner``), one with asyncio (``async_runner``). A failed step raises a
``ComfyfleetError`` in the flow.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from comfyfleet_client.errors import ComfyfleetError

T = TypeVar("T")
Flow = Generator[Any, Any, T]


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response; header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request; returns a Response. Raises ServerUnreachable."""

    method: str
    url: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None


class DownloadSink(Protocol):
    """Receives the bytes of a body as they arrive."""

    def accept_response(self, status: int, headers: Mapping[str, str]) -> bool:
        """Whether to accept this response's body; header names are lower-case."""

    def write(self, chunk: bytes) -> None:
        pass


@dataclass(frozen=True, slots=True)
class FetchBody:
    """Send a request and stream the body into the sink. Returns a Response, without the body if the sink accepted it.

    Raises ServerUnreachable.
    """

    send: Send
    sink: DownloadSink


@dataclass(frozen=True, slots=True)
class Pause:
    """Sleep for some seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class RunExclusively:
    """Run a flow while no other such flow of this client runs; returns its result."""

    flow: Flow[Any]


@dataclass(frozen=True, slots=True)
class OpenWebSocket:
    """Open a websocket, replacing the previous one. Raises ServerUnreachable, HandshakeRefused."""

    url: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SendText:
    """Send this text over the websocket. Raises WebSocketClosed."""

    text: str


@dataclass(frozen=True, slots=True)
class Receive:
    """Receive the next websocket message, text or bytes; None after ``within_s``. Raises WebSocketClosed."""

    within_s: float | None = None


@dataclass(frozen=True, slots=True)
class EmitValue:
    """Yield this to the caller's iterator."""

    value: Any


class HandshakeRefused(ComfyfleetError):
    """The server refused the websocket handshake."""

    def __init__(self, response: Response) -> None:
        super().__init__(f"HTTP {response.status}")
        self.response = response


class WebSocketClosed(ComfyfleetError):
    """The websocket is closed: ``code`` as in RFC 6455, 1006 without a close frame."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code, self.reason = code, reason
