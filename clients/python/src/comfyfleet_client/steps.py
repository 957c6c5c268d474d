"""What a flow asks of whoever runs it.

All that this package does is written once, as generators ("flows") that yield steps and are sent their results. A
runner carries the steps out: one with threads (``sync_runner``), one with asyncio (``async_runner``). A step that fails
is thrown into the flow as a ``ComfyfleetError``.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from comfyfleet_client.errors import ComfyfleetError

T = TypeVar("T")
Flow = Generator[Any, Any, T]


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer; the names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Send:
    """Send this; gives an Answer. Raises Unreachable."""

    method: str
    url: str
    params: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None


class Sink(Protocol):
    """Takes the bytes of a body as they come."""

    def begin(self, status: int, headers: Mapping[str, str]) -> bool:
        """Whether this answer's body is for it; headers have names in lower case."""

    def write(self, chunk: bytes) -> None:
        """The next bytes."""


@dataclass(frozen=True, slots=True)
class Fetch:
    """Send this and pour the body into the sink, as it was sent. Gives an Answer, without the body if the sink took it.

    Raises Unreachable.
    """

    send: Send
    sink: Sink


@dataclass(frozen=True, slots=True)
class Pause:
    """Do nothing for some seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Alone:
    """Run a flow while no other such flow of this client runs; gives its result."""

    flow: Flow[Any]


@dataclass(frozen=True, slots=True)
class Connect:
    """Open a websocket in place of the one before. Raises Unreachable, HandshakeRefused."""

    url: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Say:
    """Send this text over the websocket. Raises Closed."""

    text: str


@dataclass(frozen=True, slots=True)
class Receive:
    """The next message of the websocket, text or bytes; None if there was none ``within_s``. Raises Closed."""

    within_s: float | None = None


@dataclass(frozen=True, slots=True)
class Emit:
    """Hand this to whoever iterates."""

    value: Any


class HandshakeRefused(ComfyfleetError):
    """The server answered the handshake of a websocket with a refusal."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"HTTP {answer.status}")
        self.answer = answer


class Closed(ComfyfleetError):
    """The websocket is closed: ``code`` as RFC 6455 has it, 1006 if nobody said goodbye."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code, self.reason = code, reason
