"""``WS /ws/jobs/{id}``: watch one job until it ends."""

from contextlib import suppress

from fastapi import APIRouter, WebSocket
from prometheus_client import Gauge
from starlette.websockets import WebSocketDisconnect

from chassis.telemetry.logs import bound
from contracts.scheduler.jobs import UnknownJob
from contracts.wire.errors import Refusal
from notifier.api.connection import CloseConnection, Connection, build_slow_client_error, log_end_delivered
from notifier.api.handshake import WebSocketAuthenticator, parse_after, parse_job_id, refuse_socket
from notifier.usecases.hub import Hub
from notifier.usecases.viewer import JobDeleted, Viewer, ViewerTooSlow


def create_router(
    *, authenticator: WebSocketAuthenticator, hub: Hub, sockets: Gauge, send_timeout_s: float
) -> APIRouter:
    routes, open_sockets = APIRouter(), sockets.labels("job")

    @routes.websocket("/ws/jobs/{job_id}")
    async def watch(socket: WebSocket, job_id: str) -> None:
        with bound(job_id=job_id), suppress(WebSocketDisconnect):
            try:
                async with authenticator.authenticate(socket) as (principal, credential_ended):
                    connection = Connection(socket, credential_ended, send_timeout_s=send_timeout_s)
                    tenant, after = principal.tenant, parse_after(socket)
                    watching = hub.watch(tenant, parse_job_id(job_id), after, try_send=connection.try_send)
                    async with watching as viewer:
                        await authenticator.ensure_open(socket)
                        with open_sockets.track_inprogress():
                            sending = _send_frames(connection, viewer, job_id)
                            await connection.run(sending, _drain_messages(connection))
            except Refusal as refusal:
                await refuse_socket(socket, refusal.refused)

    return routes


async def _send_frames(connection: Connection, viewer: Viewer, job_id: str) -> None:
    try:
        while (frame := await viewer.wait_for_next_frame()) is not None:
            await connection.send(frame)
    except ViewerTooSlow:
        raise build_slow_client_error() from None
    except JobDeleted:
        raise CloseConnection(4404, UnknownJob.code) from None
    log_end_delivered(job_id, viewer)
    raise CloseConnection(1000)


async def _drain_messages(connection: Connection) -> None:
    """Read until the client disconnects; messages after authentication are ignored."""
    async for _ in connection.receive_messages():
        pass
