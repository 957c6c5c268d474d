"""A job's log as server-sent events, for clients without a websocket. Thin: it asks the scheduler once a second."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse

from chassis.bus import Bus
from contracts.scheduler import FINAL, JobRead
from contracts.wire.errors import Kind, Relayed, Unavailable
from gateway.api.access import Reader
from gateway.api.problems import problems
from gateway.domain.event_stream import status_event
from gateway.usecases.read_job import job_id_of, read_log

POLL_S = 1.0
MAX_SEQ = 2**31 - 1
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff"}


def router(*, bus: Bus) -> APIRouter:
    """The route of events."""
    routes = APIRouter(prefix="/jobs", tags=["jobs"])

    @routes.get(
        "/{job_id}/events",
        summary="A job's log as server-sent events",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {}}, "description": "The log."}, **problems(404, 422)},
    )
    async def events(
        tenant: Reader,
        job_id: str,
        after: Annotated[int, Query(ge=0, le=MAX_SEQ, description="only events with a greater seq")] = 0,
        last_event_id: Annotated[int | None, Header(ge=0, le=MAX_SEQ)] = None,
    ) -> StreamingResponse:
        known = last_event_id if last_event_id is not None else after
        wanted = job_id_of(job_id)
        first = await read_log(wanted, after=known, tenant=tenant, bus=bus)
        return StreamingResponse(
            _follow(wanted, known, first, tenant, bus), media_type="text/event-stream", headers=HEADERS
        )

    return routes


async def _follow(job_id: UUID, known: int, read: JobRead, tenant: str, bus: Bus) -> AsyncIterator[bytes]:
    """Each event once, in order, until the job has ended; a comment where there was none shows that we live."""
    while True:
        for event in read.events:
            yield status_event(event)
            known = event.seq
        if read.job.state in FINAL:
            return
        yield b": waiting\n\n"
        await asyncio.sleep(POLL_S)
        try:
            read = await read_log(job_id, after=known, tenant=tenant, bus=bus)
        except (Unavailable, Relayed) as refusal:
            if refusal.refused.kind is not Kind.UNAVAILABLE:
                return
            read = read.model_copy(update={"events": ()})
