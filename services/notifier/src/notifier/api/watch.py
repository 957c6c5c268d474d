"""``WS /ws/jobs/{id}``: watch one job until it ends."""

from contextlib import suppress

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect

from chassis.telemetry.logs import bound
from contracts.scheduler.jobs import UnknownJob
from contracts.wire.errors import Refusal
from notifier.api.handshake import WebSocketAuthenticator, job_id_of, refuse, resume_after
from notifier.api.line import CloseConnection, Connection, too_slow
from notifier.usecases.hub import Hub
from notifier.usecases.viewer import Gone, TooSlow, Viewer


def router(*, doorkeeper: WebSocketAuthenticator, hub: Hub, send_timeout_s: float) -> APIRouter:
    routes = APIRouter()

    @routes.websocket("/ws/jobs/{job_id}")
    async def watch(socket: WebSocket, job_id: str) -> None:
        with bound(job_id=job_id), suppress(WebSocketDisconnect):
            try:
                async with doorkeeper.admitted(socket) as (who, ended):
                    line = Connection(socket, ended, send_timeout_s=send_timeout_s)
                    async with hub.watch(who.tenant, job_id_of(job_id), resume_after(socket)) as viewer:
                        await doorkeeper.open(socket)
                        await line.run(_show(line, viewer), _listen(line))
            except Refusal as refusal:
                await refuse(socket, refusal.refused)

    return routes


async def _show(line: Connection, viewer: Viewer) -> None:
    try:
        while (frame := await viewer.next_frame()) is not None:
            await line.send(frame)
    except TooSlow:
        raise too_slow() from None
    except Gone:
        raise CloseConnection(4404, UnknownJob.code) from None
    raise CloseConnection(1000)


async def _listen(line: Connection) -> None:
    """Read until the client disconnects; messages after authentication are ignored."""
    async for _ in line.messages():
        pass
