"""A ComfyUI node's websocket: hints of how a prompt goes. What it says is never the truth of anything."""

import asyncio
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from chassis.logs import log

OPEN_S = 2.0  # a node that does not shake hands within this is followed by polling
PAUSE_S = 0.5  # before connecting again
LARGEST = 16 << 20  # bytes of a message: progress of a large graph and whole images come this way; more ends it
PING_S = 20.0

Listener = Callable[[str, dict[str, Any]], None]


def _nobody(_kind: str, _data: dict[str, Any]) -> None:
    """Nobody listens yet."""


def _nothing() -> None:
    """Nothing depends on it yet."""


class NodeEvents:
    """Follows the events of one client id from ``open`` to ``close``; always drained, connected again when it drops."""

    def __init__(self, url: str, client_id: str) -> None:
        scheme, _, rest = url.rstrip("/").partition("://")
        self._url = f"{'wss' if scheme == 'https' else 'ws'}://{rest}/ws?{urlencode({'clientId': client_id})}"
        self.client_id = client_id
        self._listener: Listener = _nobody
        self._on_drop: Callable[[], None] = _nothing
        self._tried = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin to connect."""
        self._task = asyncio.create_task(self._follow(), name="executor.events")

    async def tell(self, listener: Listener, on_drop: Callable[[], None]) -> None:
        """Tell the listener type and data of every event from now on, and of every loss of the connection.

        Returns once connecting was tried: a prompt posted earlier than that would lose its first events.
        """
        self._listener, self._on_drop = listener, on_drop
        await self._tried.wait()

    async def close(self) -> None:
        """Close the socket fully."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _follow(self) -> None:
        while True:
            try:
                # Leaving this block closes the socket fully: a node forgets the newer of two sockets with one id.
                async with connect(
                    self._url,
                    open_timeout=OPEN_S,
                    close_timeout=1,
                    ping_interval=PING_S,
                    ping_timeout=PING_S,
                    max_size=LARGEST,
                    compression=None,
                    proxy=None,
                ) as socket:
                    self._tried.set()
                    async for message in socket:
                        if isinstance(message, str):
                            self._tell(message)
            except (WebSocketException, OSError, TimeoutError, EOFError) as error:
                log.info("executor.events.dropped", error=type(error).__name__)
            self._tried.set()
            self._on_drop()
            await asyncio.sleep(PAUSE_S)

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
