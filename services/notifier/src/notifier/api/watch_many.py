"""``WS /ws``: watch many jobs over one socket.

The client sends ``{"type": "subscribe", "job_id": …, "after": seq?}`` and ``{"type": "unsubscribe", "job_id": …}``. For
each job it receives what ``/ws/jobs/{id}`` would send, snapshot first; ``end`` ends the subscription, not the socket. A
refusal about one job is an ``error`` frame; an invalid message closes the socket.
"""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect

from contracts.scheduler.jobs import UnknownJob
from contracts.wire.errors import Refusal
from notifier.api.handshake import WebSocketAuthenticator, job_id_of, refuse
from notifier.api.line import CloseConnection, Connection, too_slow
from notifier.domain import frames
from notifier.domain.errors import TooManyJobs
from notifier.domain.messages import BadMessage, Subscribe, read_message
from notifier.usecases.hub import Hub
from notifier.usecases.viewer import Gone, TooSlow

MAX_JOBS = 100  # each costs two NATS subscriptions and a periodic read, shared by all viewers of the job


def router(*, doorkeeper: WebSocketAuthenticator, hub: Hub, send_timeout_s: float) -> APIRouter:
    routes = APIRouter()

    @routes.websocket("/ws")
    async def watch_many(socket: WebSocket) -> None:
        with suppress(WebSocketDisconnect):
            try:
                async with doorkeeper.admitted(socket) as (who, ended):
                    await doorkeeper.open(socket)
                    line = Connection(socket, ended, send_timeout_s=send_timeout_s)
                    await line.run(_Subscriptions(line, hub, who.tenant).follow())
            except Refusal as refusal:
                await refuse(socket, refusal.refused)

    return routes


class _Subscriptions:
    """The jobs that one socket watches, one task each."""

    def __init__(self, line: Connection, hub: Hub, tenant: str) -> None:
        self._line, self._hub, self._tenant = line, hub, tenant
        self._shown: dict[str, asyncio.Task[None]] = {}

    async def follow(self) -> None:
        """Process the client's messages until it disconnects.

        Raises:
            CloseConnection: an invalid message, or the client does not read.
        """
        try:
            async with asyncio.TaskGroup() as group:
                async for text in self._line.messages():
                    await self._obey(text, group)
                for task in self._shown.values():
                    task.cancel()
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def _obey(self, text: str, group: asyncio.TaskGroup) -> None:
        try:
            message = read_message(text)
        except BadMessage:
            raise CloseConnection(4400, "socket.message_invalid") from None
        await self._end(message.job_id)
        if not isinstance(message, Subscribe):
            await self._line.send(frames.unsubscribed(message.job_id, at=datetime.now(UTC)))
        elif len(self._shown) >= MAX_JOBS:
            await self._refuse(message.job_id, TooManyJobs(limit=MAX_JOBS))
        else:
            self._shown[message.job_id] = group.create_task(self._show(message))

    async def _end(self, job_id: str) -> None:
        """End a subscription: nothing about the job is sent once this returns."""
        task = self._shown.pop(job_id, None)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _show(self, message: Subscribe) -> None:
        try:
            async with self._hub.watch(self._tenant, job_id_of(message.job_id), message.after) as viewer:
                while (frame := await viewer.next_frame()) is not None:
                    await self._line.send(frame)
        except Refusal as refusal:
            await self._refuse(message.job_id, refusal)
        except Gone:
            await self._refuse(message.job_id, UnknownJob())
        except TooSlow:
            raise too_slow() from None
        if self._shown.get(message.job_id) is asyncio.current_task():
            del self._shown[message.job_id]

    async def _refuse(self, job_id: str, refusal: Refusal) -> None:
        await self._line.send(frames.refused(job_id, refusal.refused, at=datetime.now(UTC)))
