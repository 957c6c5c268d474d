"""An open WebSocket: sending, receiving and closing."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from typing import Any

from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from chassis.telemetry.logs import log
from contracts.auth.credentials import InvalidCredential
from notifier.domain.allowance import Allowance

CLOSE_S = 1.0
MESSAGES_PER_S, MESSAGES_AT_ONCE = 10, 200

TRY_AGAIN, NOT_TEXT, TOO_MANY, BAD_CREDENTIAL = 1013, 1003, 1008, 4401


class CloseConnection(Exception):
    """The socket must be closed. ``code`` is one of RFC 6455, or 4000 plus the equivalent HTTP status."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code, self.reason = code, reason


class Connection:
    """One open socket. Frames are sent one at a time, and none once ``ended`` is set because its credential ended."""

    def __init__(self, socket: WebSocket, ended: asyncio.Event, *, send_timeout_s: float) -> None:
        self._socket, self._ended, self._send_timeout_s = socket, ended, send_timeout_s
        self._turn = asyncio.Lock()

    async def send(self, frame: str) -> None:
        """Send one frame.

        Raises:
            CloseConnection: the client did not accept it in time, or its credential ended.
            WebSocketDisconnect: the client disconnected.
        """
        async with self._turn:
            if self._ended.is_set():
                raise CloseConnection(BAD_CREDENTIAL, InvalidCredential.code)
            try:
                async with asyncio.timeout(self._send_timeout_s):
                    await self._socket.send_text(frame)
            except TimeoutError:
                raise too_slow() from None

    async def messages(self) -> AsyncIterator[str]:
        """Yield the client's messages until it disconnects. The server bounds their size (``chassis.cli``).

        Raises:
            CloseConnection: a message is not text, or there are too many.
        """
        clock = asyncio.get_running_loop().time
        allowance = Allowance(rate=MESSAGES_PER_S, burst=MESSAGES_AT_ONCE, now=clock())
        while (message := await self._socket.receive())["type"] != "websocket.disconnect":
            if message.get("text") is None:
                raise CloseConnection(NOT_TEXT, "text only")
            if not allowance.take(clock()):
                raise CloseConnection(TOO_MANY, "too many messages")
            yield message["text"]

    async def run(self, *work: Coroutine[Any, Any, None]) -> None:
        """Run these tasks until the first one ends or the credential ends; then close the socket."""
        tasks = [asyncio.create_task(one) for one in (*work, self._until_ended())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        hangups = [result for result in results if isinstance(result, CloseConnection)]
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, CloseConnection | WebSocketDisconnect):
                raise result
        if hangups and self._socket.application_state is WebSocketState.CONNECTED:
            await self._close(hangups[0])

    async def _until_ended(self) -> None:
        await self._ended.wait()
        raise CloseConnection(BAD_CREDENTIAL, InvalidCredential.code)

    async def _close(self, hangup: CloseConnection) -> None:
        """Close without waiting for a client that may not read; the server cuts the connection afterwards."""
        log.info("notifier.socket.closed", code=hangup.code, reason=hangup.reason)
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self._socket.close(hangup.code, hangup.reason)


def too_slow() -> CloseConnection:
    log.info("notifier.viewer.too_slow")
    return CloseConnection(TRY_AGAIN, "too slow")
