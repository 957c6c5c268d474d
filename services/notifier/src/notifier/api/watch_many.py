"""``WS /ws``: watch many jobs over one socket.

The client sends ``{"type": "subscribe", "job_id": …, "after": seq?}`` and ``{"type": "unsubscribe", "job_id": …}``. For
each job it receives what ``/ws/jobs/{id}`` would send, snapshot first; ``end`` ends the subscription, not the socket. A
refusal about one job is an ``error`` frame; an invalid message closes the socket.
"""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime

from fastapi import APIRouter, WebSocket
from prometheus_client import Gauge
from starlette.websockets import WebSocketDisconnect

from contracts.scheduler.jobs import UnknownJob
from contracts.wire.errors import Refusal
from notifier.api.connection import CloseConnection, Connection, build_slow_client_error, log_end_delivered
from notifier.api.handshake import WebSocketAuthenticator, parse_job_id, refuse_socket
from notifier.domain import frames
from notifier.domain.errors import TooManyJobs
from notifier.domain.messages import InvalidMessage, Subscribe, parse_message
from notifier.usecases.hub import Hub
from notifier.usecases.viewer import JobDeleted, ViewerTooSlow

MAX_JOBS = 100  # each costs two NATS subscriptions and a periodic read, shared by all viewers of the job


def create_router(
    *, authenticator: WebSocketAuthenticator, hub: Hub, sockets: Gauge, send_timeout_s: float
) -> APIRouter:
    routes, open_sockets = APIRouter(), sockets.labels("jobs")

    @routes.websocket("/ws")
    async def watch_many(socket: WebSocket) -> None:
        with suppress(WebSocketDisconnect):
            try:
                async with authenticator.authenticate(socket) as (principal, credential_ended):
                    await authenticator.ensure_open(socket)
                    connection = Connection(socket, credential_ended, send_timeout_s=send_timeout_s)
                    with open_sockets.track_inprogress():
                        await connection.run(_Subscriptions(connection, hub, principal.tenant).run())
            except Refusal as refusal:
                await refuse_socket(socket, refusal.refused)

    return routes


class _Subscriptions:
    """The jobs that one socket watches, one task each."""

    def __init__(self, connection: Connection, hub: Hub, tenant: str) -> None:
        self._connection, self._hub, self._tenant = connection, hub, tenant
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Process the client's messages until it disconnects.

        Raises:
            CloseConnection: an invalid message, or the client does not read.
        """
        try:
            async with asyncio.TaskGroup() as group:
                async for text in self._connection.receive_messages():
                    await self._handle_message(text, group)
                for task in self._tasks.values():
                    task.cancel()
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _handle_message(self, text: str, group: asyncio.TaskGroup) -> None:
        try:
            message = parse_message(text)
        except InvalidMessage:
            raise CloseConnection(4400, "socket.message_invalid") from None
        await self._unsubscribe(message.job_id)
        if not isinstance(message, Subscribe):
            await self._connection.send(frames.encode_unsubscribed(message.job_id, at=datetime.now(UTC)))
        elif len(self._tasks) >= MAX_JOBS:
            await self._send_refusal(message.job_id, TooManyJobs(limit=MAX_JOBS))
        else:
            self._tasks[message.job_id] = group.create_task(self._send_frames(message))

    async def _unsubscribe(self, job_id: str) -> None:
        """End a subscription: nothing about the job is sent once this returns."""
        task = self._tasks.pop(job_id, None)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _send_frames(self, message: Subscribe) -> None:
        try:
            job_id, try_send = parse_job_id(message.job_id), self._connection.try_send
            async with self._hub.watch(self._tenant, job_id, message.after, try_send=try_send) as viewer:
                while (frame := await viewer.wait_for_next_frame()) is not None:
                    await self._connection.send(frame)
                log_end_delivered(message.job_id, viewer)
        except Refusal as refusal:
            await self._send_refusal(message.job_id, refusal)
        except JobDeleted:
            await self._send_refusal(message.job_id, UnknownJob())
        except ViewerTooSlow:
            raise build_slow_client_error() from None
        if self._tasks.get(message.job_id) is asyncio.current_task():
            del self._tasks[message.job_id]

    async def _send_refusal(self, job_id: str, refusal: Refusal) -> None:
        await self._connection.send(frames.encode_refusal(job_id, refusal.refused, at=datetime.now(UTC)))
