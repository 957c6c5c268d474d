"""``WS /ws/jobs/{id}``: watch one job until it has ended."""

import asyncio
from contextlib import suppress

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect, WebSocketState

from chassis.logs import bound, log
from chassis.remembered import Remembered
from contracts.auth import Principal, VerifyCredential
from contracts.wire.errors import Refusal
from notifier.api.handshake import TRY_AGAIN, job_id_of, refuse, resume_after, tenant_of
from notifier.usecases.hub import Hub
from notifier.usecases.viewer import Gone, TooSlow, Viewer

CLOSE_S = 1.0


def router(
    *, owners: Remembered[VerifyCredential, Principal], hub: Hub, auth_wait_s: float, send_timeout_s: float
) -> APIRouter:
    """The websocket route."""
    routes = APIRouter()

    @routes.websocket("/ws/jobs/{job_id}")
    async def watch(socket: WebSocket, job_id: str) -> None:
        with bound(job_id=job_id), suppress(WebSocketDisconnect):
            try:
                tenant = await tenant_of(socket, owners, auth_wait_s)
                async with hub.watch(tenant, job_id_of(job_id), resume_after(socket)) as viewer:
                    if socket.application_state is WebSocketState.CONNECTING:
                        await socket.accept()
                    await _show(socket, viewer, send_timeout_s)
            except Refusal as refusal:
                await refuse(socket, refusal.refused)

    return routes


async def _show(socket: WebSocket, viewer: Viewer, send_timeout_s: float) -> None:
    """Send what there is until it ends or the viewer leaves."""
    sending = asyncio.create_task(_send_all(socket, viewer, send_timeout_s))
    leaving = asyncio.create_task(_wait_until_gone(socket))
    try:
        await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (sending, leaving):
            task.cancel()
        results = await asyncio.gather(sending, leaving, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception) and not isinstance(result, WebSocketDisconnect):
            raise result


async def _send_all(socket: WebSocket, viewer: Viewer, send_timeout_s: float) -> None:
    try:
        while (frame := await viewer.next_frame()) is not None:
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
    """Say goodbye to who may not be listening; the server cuts the connection when we return (chassis.sockets)."""
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_S):
            await socket.close(code, reason)


async def _wait_until_gone(socket: WebSocket) -> None:
    """Read on, so that a close is seen; what a viewer says after its credential means nothing."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
