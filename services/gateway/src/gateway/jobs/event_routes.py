"""A job's log as server-sent events, for clients without a websocket. Thin: it asks the scheduler once a second."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, suppress
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse

from chassis.messaging.bus import Bus
from contracts.auth.credentials import Principal
from contracts.scheduler.jobs import FINAL_STATES, JobWithEvents
from contracts.wire.errors import Kind, Relayed, Unavailable
from gateway.api.v1.problems import problems
from gateway.edge.access import Reader
from gateway.jobs.event_stream import status_event
from gateway.jobs.read import job_id_of, read_log

POLL_S = 1.0
Watching = Callable[[Principal], AbstractContextManager[asyncio.Event]]

MAX_SEQ = 2**31 - 1
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff"}


def router(*, bus: Bus, watching: Watching) -> APIRouter:
    """The route of events; ``watching`` tells when a principal's credential is good no more."""
    routes = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])

    @routes.get(
        "/{job_id}/events",
        summary="A job's log as server-sent events",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {}}, "description": "The log."}, **problems(404, 422)},
    )
    async def events(
        tenant: Reader,
        request: Request,
        job_id: str,
        after: Annotated[int, Query(ge=0, le=MAX_SEQ, description="only events with a greater seq")] = 0,
        last_event_id: Annotated[
            int | None, Header(ge=0, le=MAX_SEQ, description="id of the last event that was seen: go on after it")
        ] = None,
    ) -> StreamingResponse:
        known = last_event_id if last_event_id is not None else after
        wanted = job_id_of(job_id)
        first = await read_log(wanted, after=known, tenant=tenant, bus=bus)

        async def again(known: int) -> JobWithEvents:
            return await read_log(wanted, after=known, tenant=tenant, bus=bus)

        async def lines() -> AsyncIterator[bytes]:
            with watching(request.state.principal) as ended:
                async for line in _follow(known, first, again, ended):
                    yield line

        return StreamingResponse(lines(), media_type="text/event-stream", headers=HEADERS)

    return routes


async def _follow(
    known: int, read: JobWithEvents, again: Callable[[int], Awaitable[JobWithEvents]], ended: asyncio.Event
) -> AsyncIterator[bytes]:
    """Each event once, in order, until the job has ended, or the right to see it; comments show that we live."""
    while True:
        for event in read.events:
            yield status_event(event)
            known = event.seq
        if read.job.state in FINAL_STATES:
            return
        yield b": waiting\n\n"
        with suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), POLL_S)
        if ended.is_set():
            return
        try:
            read = await again(known)
        except (Unavailable, Relayed) as refusal:
            if refusal.refused.kind is not Kind.UNAVAILABLE:
                return
            read = read.model_copy(update={"events": ()})
