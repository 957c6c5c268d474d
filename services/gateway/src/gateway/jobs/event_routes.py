"""A job's events as server-sent events, for clients without a websocket. Polls the scheduler once a second."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse
from prometheus_client import Gauge

from chassis.shutdown import Shutdown, wait_for_any
from contracts.auth.credentials import Principal
from contracts.scheduler.jobs import FINAL_STATES, JobWithEvents, UnknownJob
from contracts.wire.errors import ErrorKind, RelayedRefusal, Unavailable
from gateway.api.v1.problems import declare_problems
from gateway.edge.access import Reader
from gateway.jobs.event_stream import build_status_event
from gateway.jobs.service import JobService, parse_job_id

STATE_POLL_S = 1.0
WatchCredential = Callable[[Principal], AbstractContextManager[asyncio.Event]]

MAX_SEQ = 2**31 - 1
RECONNECT_FIELD = b"retry: 1000\n\n"  # milliseconds that a client waits before it connects to another replica
STREAM_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff"}


def create_router(
    *, jobs: JobService, watch_credential: WatchCredential, sockets: Gauge, shutdown: Shutdown
) -> APIRouter:
    """Return the route of events; ``watch_credential`` gives an event that is set when a credential ends."""
    open_streams = sockets.labels("sse")
    routes = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])

    @routes.get(
        "/{job_id}/events",
        summary="Stream the events of a job (server-sent events)",
        response_class=StreamingResponse,
        responses={
            200: {"content": {"text/event-stream": {}}, "description": "The events."},
            **declare_problems(UnknownJob),
        },
    )
    async def stream_events(
        tenant: Reader,
        request: Request,
        job_id: str,
        after: Annotated[int, Query(ge=0, le=MAX_SEQ, description="only events with a higher seq")] = 0,
        last_event_id: Annotated[
            int | None,
            Header(ge=0, le=MAX_SEQ, description="id of the last received event; the stream continues after it"),
        ] = None,
    ) -> StreamingResponse:
        last_seq = last_event_id if last_event_id is not None else after
        parsed_id = parse_job_id(job_id)

        async def read_events(after: int) -> JobWithEvents:
            return await jobs.read_events(parsed_id, after=after, tenant=tenant)

        first = await read_events(last_seq)
        if last_seq > first.job.seq:  # the database was restored to an earlier state, so the job runs again
            last_seq, first = 0, await read_events(0)

        async def iterate_lines() -> AsyncIterator[bytes]:
            with open_streams.track_inprogress(), watch_credential(request.state.principal) as credential_ended:
                async for line in _follow_events(last_seq, first, read_events, credential_ended, shutdown.closing):
                    yield line

        return StreamingResponse(iterate_lines(), media_type="text/event-stream", headers=STREAM_HEADERS)

    return routes


async def _follow_events(
    last_seq: int,
    page: JobWithEvents,
    read_events: Callable[[int], Awaitable[JobWithEvents]],
    credential_ended: asyncio.Event,
    closing: asyncio.Event,
) -> AsyncIterator[bytes]:
    """Yield each event once, in order, until the job or the credential has ended or the server is being stopped.

    Comments keep the connection alive.
    """
    while True:
        for event in page.events:
            yield build_status_event(event)
            last_seq = event.seq
        if page.job.state in FINAL_STATES:
            return
        yield b": waiting\n\n"
        await wait_for_any(credential_ended, closing, within_s=STATE_POLL_S)
        if credential_ended.is_set():
            return
        if closing.is_set():
            yield RECONNECT_FIELD
            return
        try:
            page = await read_events(last_seq)
        except (Unavailable, RelayedRefusal) as refusal:
            if refusal.details.kind is not ErrorKind.UNAVAILABLE:
                return
            page = page.model_copy(update={"events": ()})
