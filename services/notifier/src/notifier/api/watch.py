"""``WS /ws/jobs/{id}``: watch one job until it has ended."""

from contextlib import suppress

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect

from chassis.telemetry.logs import bound
from contracts.scheduler import UnknownJob
from contracts.wire.errors import Refusal
from notifier.api.handshake import Doorkeeper, job_id_of, refuse, resume_after
from notifier.api.line import Hangup, Line, too_slow
from notifier.usecases.hub import Hub
from notifier.usecases.viewer import Gone, TooSlow, Viewer


def router(*, doorkeeper: Doorkeeper, hub: Hub, send_timeout_s: float) -> APIRouter:
    """The websocket route."""
    routes = APIRouter()

    @routes.websocket("/ws/jobs/{job_id}")
    async def watch(socket: WebSocket, job_id: str) -> None:
        with bound(job_id=job_id), suppress(WebSocketDisconnect):
            try:
                async with doorkeeper.admitted(socket) as (who, ended):
                    line = Line(socket, ended, send_timeout_s=send_timeout_s)
                    async with hub.watch(who.tenant, job_id_of(job_id), resume_after(socket)) as viewer:
                        await doorkeeper.open(socket)
                        await line.run(_show(line, viewer), _listen(line))
            except Refusal as refusal:
                await refuse(socket, refusal.refused)

    return routes


async def _show(line: Line, viewer: Viewer) -> None:
    try:
        while (frame := await viewer.next_frame()) is not None:
            await line.send(frame)
    except TooSlow:
        raise too_slow() from None
    except Gone:
        raise Hangup(4404, UnknownJob.code) from None
    raise Hangup(1000)


async def _listen(line: Line) -> None:
    """Read on, so that a close is seen; what a viewer says after its credential means nothing."""
    async for _ in line.messages():
        pass
