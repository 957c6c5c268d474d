"""``WS /ws/jobs/{id}``: watch one job until it has ended."""

import asyncio
from contextlib import suppress

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from chassis.logs import bound, log
from contracts.auth import BadCredential
from contracts.wire.errors import Refusal
from door.identity import Identity
from notifier.api.handshake import CLOSE_CODE, TRY_AGAIN, job_id_of, refuse, resume_after, viewer_of
from notifier.usecases.hub import Hub
from notifier.usecases.viewer import Gone, TooSlow, Viewer

CLOSE_S = 1.0


def router(*, identity: Identity, hub: Hub, auth_wait_s: float, send_timeout_s: float) -> APIRouter:
    """The websocket route."""
    routes = APIRouter()

    @routes.websocket("/ws/jobs/{job_id}")
    async def watch(socket: WebSocket, job_id: str) -> None:
        with bound(job_id=job_id), suppress(WebSocketDisconnect):
            try:
                who = await viewer_of(socket, identity, auth_wait_s)
                with identity.watching(who) as ended:
                    async with hub.watch(str(who.user_id), job_id_of(job_id), resume_after(socket)) as viewer:
                        if socket.application_state is WebSocketState.CONNECTING:
                            await socket.accept()
                        await _show(socket, viewer, ended, send_timeout_s)
            except Refusal as refusal:
                await refuse(socket, refusal.refused)

    return routes


async def _show(socket: WebSocket, viewer: Viewer, ended: asyncio.Event, send_timeout_s: float) -> None:
    """Send what there is until it ends, the viewer leaves, or ``ended`` says that it may see no more."""
    sending = asyncio.create_task(_send_all(socket, viewer, ended, send_timeout_s))
    leaving = asyncio.create_task(_wait_until_gone(socket))
    ending = asyncio.create_task(ended.wait())
    tasks = (sending, leaving, ending)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception) and not isinstance(result, WebSocketDisconnect):
            raise result
    if ended.is_set() and socket.application_state is WebSocketState.CONNECTED:
        log.info("notifier.viewer.credential_ended")
        await _close(socket, CLOSE_CODE[BadCredential.kind], BadCredential.code)


async def _send_all(socket: WebSocket, viewer: Viewer, ended: asyncio.Event, send_timeout_s: float) -> None:
    try:
        while (frame := await viewer.next_frame()) is not None:
            if ended.is_set():
                return
            async with asyncio.timeout(send_timeout_s):
                await socket.send_text(frame)
    except (TimeoutError, TooSlow):
        log.info("notifier.viewer.too_slow")
        await _close(socket, TRY_AGAIN, "too slow")
    except Gone:
        await _close(socket, 4404, "job.not_found")
    else:
        await _close(socket, 1000, "")


async def _close(socket: WebSocket, code: int, reason: str) -> None:
    """Say goodbye to who may not be listening; the server cuts the connection when we return (chassis.http)."""
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_S):
            await socket.close(code, reason)


async def _wait_until_gone(socket: WebSocket) -> None:
    """Read on, so that a close is seen; what a viewer says after its credential means nothing."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
