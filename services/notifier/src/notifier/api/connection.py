"""An open WebSocket: sending, receiving and closing."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from typing import Any

from fastapi import WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from chassis.http.writing import find_send_text
from chassis.telemetry.logs import log
from contracts.auth.credentials import InvalidCredential
from notifier.domain.token_bucket import TokenBucket
from notifier.usecases.viewer import Viewer

CLOSE_TIMEOUT_S = 1.0
MAX_MESSAGES_PER_S, MAX_MESSAGES_BURST = 10, 200

CLOSE_TRY_AGAIN_LATER, CLOSE_UNSUPPORTED_DATA, CLOSE_POLICY_VIOLATION, CLOSE_INVALID_CREDENTIAL = 1013, 1003, 1008, 4401


class CloseConnection(Exception):
    """The socket must be closed. ``code`` is one of RFC 6455, or 4000 plus the equivalent HTTP status."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code, self.reason = code, reason


class Connection:
    """One open socket. Frames are sent one at a time, and none after ``credential_ended`` is set."""

    def __init__(self, socket: WebSocket, credential_ended: asyncio.Event, *, send_timeout_s: float) -> None:
        self._socket, self._credential_ended, self._send_timeout_s = socket, credential_ended, send_timeout_s
        self._send_lock = asyncio.Lock()
        self._send_text = find_send_text(socket.scope)

    def try_send(self, frame: str) -> bool:
        """Send one frame if that is possible without waiting; returns whether it was sent."""
        if self._send_text is None or self._credential_ended.is_set() or self._send_lock.locked():
            return False
        return self._send_text(frame)

    async def send(self, frame: str) -> None:
        """Send one frame.

        Raises:
            CloseConnection: the client did not accept it in time, or its credential ended.
            WebSocketDisconnect: the client disconnected.
        """
        if self.try_send(frame):
            return
        async with self._send_lock:
            if self._credential_ended.is_set():
                raise CloseConnection(CLOSE_INVALID_CREDENTIAL, InvalidCredential.code)
            try:
                async with asyncio.timeout(self._send_timeout_s):
                    await self._socket.send_text(frame)
            except TimeoutError:
                raise build_slow_client_error() from None

    async def receive_messages(self) -> AsyncIterator[str]:
        """Yield the client's messages until it disconnects. The server bounds their size (``chassis.cli``).

        Raises:
            CloseConnection: a message is not text, or there are too many.
        """
        now = asyncio.get_running_loop().time
        bucket = TokenBucket(rate=MAX_MESSAGES_PER_S, burst=MAX_MESSAGES_BURST, now=now())
        while (message := await self._socket.receive())["type"] != "websocket.disconnect":
            if message.get("text") is None:
                raise CloseConnection(CLOSE_UNSUPPORTED_DATA, "text only")
            if not bucket.try_take(now()):
                raise CloseConnection(CLOSE_POLICY_VIOLATION, "too many messages")
            yield message["text"]

    async def run(self, *coroutines: Coroutine[Any, Any, None]) -> None:
        """Run the coroutines until the first one or the credential ends; then close the socket."""
        tasks = [asyncio.create_task(coroutine) for coroutine in (*coroutines, self._close_when_credential_ends())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        close_errors = [result for result in results if isinstance(result, CloseConnection)]
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, CloseConnection | WebSocketDisconnect):
                raise result
        if close_errors and self._socket.application_state is WebSocketState.CONNECTED:
            await self._close_socket(close_errors[0])

    async def _close_when_credential_ends(self) -> None:
        await self._credential_ended.wait()
        raise CloseConnection(CLOSE_INVALID_CREDENTIAL, InvalidCredential.code)

    async def _close_socket(self, close_error: CloseConnection) -> None:
        """Send the close frame.

        Waits at most ``CLOSE_TIMEOUT_S``, in case the client is not reading; the server then drops the connection.
        """
        log.info("notifier.socket.closed", code=close_error.code, reason=close_error.reason)
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._socket.close(close_error.code, close_error.reason)


def log_end_delivered(job_id: str, viewer: Viewer) -> None:
    """Log that a viewer was sent the end of a job."""
    request = {"request_id": viewer.request_id} if viewer.request_id else {}
    log.info("notifier.job.delivered", job_id=job_id, **request)


def build_slow_client_error() -> CloseConnection:
    log.info("notifier.viewer.too_slow")
    return CloseConnection(CLOSE_TRY_AGAIN_LATER, "too slow")
