"""A socket that is open: what goes out, what comes in, and how it ends."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from typing import Any

from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from chassis.telemetry.logs import log
from contracts.auth import BadCredential
from notifier.domain.allowance import Allowance

CLOSE_S = 1.0
MESSAGES_PER_S, MESSAGES_AT_ONCE = 10, 200

TRY_AGAIN, NOT_TEXT, TOO_MANY, BAD_CREDENTIAL = 1013, 1003, 1008, 4401


class Hangup(Exception):
    """The socket is to be closed. ``code``: RFC 6455's, or 4000 and the HTTP status that it would be."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code, self.reason = code, reason


class Line:
    """One open socket. Frames go out one at a time, and none once ``ended`` is set: its credential is good no more."""

    def __init__(self, socket: WebSocket, ended: asyncio.Event, *, send_timeout_s: float) -> None:
        self._socket, self._ended, self._send_timeout_s = socket, ended, send_timeout_s
        self._turn = asyncio.Lock()

    async def send(self, frame: str) -> None:
        """Send one frame.

        Raises:
            Hangup: it was not taken for too long, or may not be seen any more.
            WebSocketDisconnect: the peer has gone.
        """
        async with self._turn:
            if self._ended.is_set():
                raise Hangup(BAD_CREDENTIAL, BadCredential.code)
            try:
                async with asyncio.timeout(self._send_timeout_s):
                    await self._socket.send_text(frame)
            except TimeoutError:
                raise too_slow() from None

    async def messages(self) -> AsyncIterator[str]:
        """What the peer says, until it goes. How large that may be is bounded below us (``chassis.cli``).

        Raises:
            Hangup: it is no text, or there is too much of it.
        """
        clock = asyncio.get_running_loop().time
        allowance = Allowance(rate=MESSAGES_PER_S, burst=MESSAGES_AT_ONCE, now=clock())
        while (message := await self._socket.receive())["type"] != "websocket.disconnect":
            if message.get("text") is None:
                raise Hangup(NOT_TEXT, "text only")
            if not allowance.take(clock()):
                raise Hangup(TOO_MANY, "too many messages")
            yield message["text"]

    async def run(self, *work: Coroutine[Any, Any, None]) -> None:
        """Do this until the first of it is done or the credential ends; then close the socket."""
        tasks = [asyncio.create_task(one) for one in (*work, self._until_ended())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        hangups = [result for result in results if isinstance(result, Hangup)]
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, Hangup | WebSocketDisconnect):
                raise result
        if hangups and self._socket.application_state is WebSocketState.CONNECTED:
            await self._close(hangups[0])

    async def _until_ended(self) -> None:
        await self._ended.wait()
        raise Hangup(BAD_CREDENTIAL, BadCredential.code)

    async def _close(self, hangup: Hangup) -> None:
        """Say goodbye to who may not be listening; the server cuts the connection when we return (chassis.http)."""
        log.info("notifier.socket.closed", code=hangup.code, reason=hangup.reason)
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self._socket.close(hangup.code, hangup.reason)


def too_slow() -> Hangup:
    """The peer does not take what it asked for."""
    log.info("notifier.viewer.too_slow")
    return Hangup(TRY_AGAIN, "too slow")
