"""WebSocket client of a ComfyUI node: progress events, and images that a node sends instead of saving them."""

import asyncio
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from chassis.telemetry.logs import log

OPEN_S = 2.0  # seconds for a handshake; without a connection the executor polls
PAUSE_S = 0.5  # seconds before reconnecting
LARGEST = 64 << 20  # bytes of a message: a noisy PNG of 4096 x 4096 pixels has 50 MB
PING_S = 20.0
TOO_BIG = 1009  # close code: message too large

# Request previews with node ids. Each connection needs this as its first message.
FEATURES = json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}})

Listener = Callable[[str, dict[str, Any]], None]
FrameListener = Callable[[bytes], None]


def _nobody(_kind: str, _data: dict[str, Any]) -> None:
    """Ignore events while nobody listens."""


def _nothing() -> None:
    """Ignore a disconnect while nobody listens."""


def _ignored(_frame: bytes) -> None:
    """Ignore frames while nobody listens."""


class NodeEvents:
    """Receives the events of one client id from ``open`` to ``close`` and reconnects after a disconnect.

    Args:
        largest: maximum bytes of a message; a larger one closes the connection.

    Attributes:
        overflowed: whether a message was too large, so that the connection was closed.
    """

    def __init__(self, url: str, client_id: str, *, largest: int = LARGEST) -> None:
        self._largest = largest
        scheme, _, rest = url.rstrip("/").partition("://")
        self._url = f"{'wss' if scheme == 'https' else 'ws'}://{rest}/ws?{urlencode({'clientId': client_id})}"
        self.client_id = client_id
        self._listener: Listener = _nobody
        self._on_drop: Callable[[], None] = _nothing
        self._on_frame: FrameListener = _ignored
        self._connected = False
        self.overflowed = False
        self._tried = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Start connecting."""
        self._task = asyncio.create_task(self._follow(), name="executor.events")

    async def tell(self, listener: Listener, on_drop: Callable[[], None], on_frame: FrameListener = _ignored) -> None:
        """Call the listeners for every event (type and data), every binary frame, and every disconnect from now on.

        Returns after one connection attempt: a prompt posted earlier could lose its first events. Without a connection
        the disconnect listener is called.
        """
        self._listener, self._on_drop, self._on_frame = listener, on_drop, on_frame
        await self._tried.wait()
        if not self._connected:
            on_drop()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _follow(self) -> None:
        while True:
            try:
                # Leaving this block closes the socket fully: a node drops the newer of two sockets with one id.
                async with connect(
                    self._url,
                    open_timeout=OPEN_S,
                    close_timeout=1,
                    ping_interval=PING_S,
                    ping_timeout=PING_S,
                    max_size=self._largest,
                    compression=None,
                    proxy=None,
                ) as socket:
                    await socket.send(FEATURES)
                    self._connected = True
                    self._tried.set()
                    async for message in socket:
                        if isinstance(message, str):
                            self._tell(message)
                        else:
                            self._tell_frame(message)
            except (WebSocketException, OSError, TimeoutError, EOFError) as error:
                log.info("executor.events.dropped", error=type(error).__name__)
                self.overflowed |= isinstance(error, ConnectionClosed) and _code(error) == TOO_BIG
            self._connected = False
            self._tried.set()
            self._on_drop()
            await asyncio.sleep(PAUSE_S)

    def _tell_frame(self, frame: bytes) -> None:
        try:
            self._on_frame(frame)
        except Exception:  # noqa: BLE001 - the edge of a frame: one that is not understood shows nothing
            log.exception("executor.frame.not_understood", bytes=len(frame))

    def _tell(self, message: str) -> None:
        try:
            event = json.loads(message)
        except (ValueError, RecursionError):
            return
        match event:
            case {"type": str(kind), "data": dict(told)}:
                try:
                    self._listener(kind, told)
                except Exception:  # noqa: BLE001 - the edge of an event: a hint that is not understood is no hint
                    log.exception("executor.event.not_understood", kind=kind[:100])


def _code(closed: ConnectionClosed) -> int | None:
    """Return why this side closed the connection."""
    return closed.sent.code if closed.sent is not None else None
