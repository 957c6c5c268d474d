"""WebSocket client of a ComfyUI node: progress events, and images that a node sends instead of saving them."""

import asyncio
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from chassis.telemetry.logs import log

OPEN_TIMEOUT_S = 2.0  # seconds for a handshake; without a connection the executor polls
RECONNECT_PAUSE_S = 0.5  # seconds before reconnecting
MAX_MESSAGE_BYTES = 64 << 20  # bytes of a message: a noisy PNG of 4096 x 4096 pixels has 50 MB
PING_S = 20.0
CLOSE_MESSAGE_TOO_BIG = 1009  # close code: message too large

# Requests previews with node ids. ComfyUI expects it as the first message of a connection.
FEATURE_FLAGS_MESSAGE = json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}})

EventListener = Callable[[str, dict[str, Any]], None]
FrameListener = Callable[[bytes], None]


def _ignore_event(_kind: str, _data: dict[str, Any]) -> None:
    pass


def _ignore_disconnect() -> None:
    pass


def _ignore_frame(_frame: bytes) -> None:
    pass


class NodeEvents:
    """Receives the events of one client id from ``start`` to ``close`` and reconnects after a disconnect.

    Args:
        max_message_bytes: maximum bytes of a message; a larger one closes the connection.

    Attributes:
        had_oversized_message: whether a message was too large, so that the connection was closed.
    """

    def __init__(self, url: str, client_id: str, *, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._max_message_bytes = max_message_bytes
        scheme, _, rest = url.rstrip("/").partition("://")
        self._url = f"{'wss' if scheme == 'https' else 'ws'}://{rest}/ws?{urlencode({'clientId': client_id})}"
        self.client_id = client_id
        self._listener: EventListener = _ignore_event
        self._on_drop: Callable[[], None] = _ignore_disconnect
        self._on_frame: FrameListener = _ignore_frame
        self._connected = False
        self.had_oversized_message = False
        self._first_attempt_done = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start connecting."""
        self._task = asyncio.create_task(self._receive_forever(), name="executor.events")

    async def listen(
        self, listener: EventListener, on_disconnect: Callable[[], None], on_frame: FrameListener = _ignore_frame
    ) -> None:
        """Call the listeners for every event (type and data), every binary frame, and every disconnect from now on.

        Returns after one connection attempt: a prompt posted earlier could lose its first events. Without a connection
        the disconnect listener is called.
        """
        self._listener, self._on_drop, self._on_frame = listener, on_disconnect, on_frame
        await self._first_attempt_done.wait()
        if not self._connected:
            on_disconnect()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _receive_forever(self) -> None:
        while True:
            try:
                # Leaving this block closes the socket fully: a node drops the newer of two sockets with one id.
                async with connect(
                    self._url,
                    open_timeout=OPEN_TIMEOUT_S,
                    close_timeout=1,
                    ping_interval=PING_S,
                    ping_timeout=PING_S,
                    max_size=self._max_message_bytes,
                    compression=None,
                    proxy=None,
                ) as socket:
                    await socket.send(FEATURE_FLAGS_MESSAGE)
                    self._connected = True
                    self._first_attempt_done.set()
                    async for message in socket:
                        if isinstance(message, str):
                            self._handle_event(message)
                        else:
                            self._handle_frame(message)
            except (WebSocketException, OSError, TimeoutError, EOFError) as error:
                log.info("executor.events.disconnected", error=type(error).__name__)
                self.had_oversized_message |= (
                    isinstance(error, ConnectionClosed) and _find_own_close_code(error) == CLOSE_MESSAGE_TOO_BIG
                )
            self._connected = False
            self._first_attempt_done.set()
            self._on_drop()
            await asyncio.sleep(RECONNECT_PAUSE_S)

    def _handle_frame(self, frame: bytes) -> None:
        try:
            self._on_frame(frame)
        except Exception:  # noqa: BLE001 - a frame that cannot be handled must not end the connection
            log.exception("executor.frame.handler_failed", bytes=len(frame))

    def _handle_event(self, message: str) -> None:
        try:
            event = json.loads(message)
        except (ValueError, RecursionError):
            return
        match event:
            case {"type": str(kind), "data": dict(fields)}:
                try:
                    self._listener(kind, fields)
                except Exception:  # noqa: BLE001 - an event that cannot be handled must not end the connection
                    log.exception("executor.event.handler_failed", kind=kind[:100])


def _find_own_close_code(closed: ConnectionClosed) -> int | None:
    """Return why this side closed the connection."""
    return closed.sent.code if closed.sent is not None else None
