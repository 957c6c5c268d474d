"""The internal route to which executors PUT outputs. The token in the path authorizes the request."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from starlette.requests import ClientDisconnect

from contracts.gateway.transfers import StorageFull, StoredOutput
from contracts.scheduler.jobs import UnknownJob
from gateway.api.v1.problems import declare_public_problems
from gateway.storage.errors import StoreMismatch
from gateway.transfers.errors import BadOutputToken, BrokenOutput, OutputTooLarge
from gateway.transfers.output_uploads import OutputUploads

MAX_CONTENT_TYPE = 200


def create_router(*, uploads: OutputUploads, idle_s: float) -> APIRouter:
    """Return the internal route of outputs.

    Args:
        uploads: stores the bytes.
        idle_s: longest pause between two chunks of a body, seconds.
    """
    routes = APIRouter(prefix="/internal", include_in_schema=False)

    refusals = declare_public_problems(
        BadOutputToken, UnknownJob, OutputTooLarge, BrokenOutput, StorageFull, StoreMismatch
    )

    @routes.put("/outputs/{token}", responses=refusals)
    async def upload_output(token: str, request: Request) -> StoredOutput:
        content_type = request.headers.get("content-type", "application/octet-stream").lower()[:MAX_CONTENT_TYPE]
        try:
            size_bytes = int(request.headers.get("content-length", 0))
            return await uploads.store_output(
                token, _iterate_body_chunks(request, idle_s), content_type, size_bytes=size_bytes
            )
        except ClientDisconnect:
            raise BrokenOutput from None

    return routes


async def _iterate_body_chunks(request: Request, idle_s: float) -> AsyncIterator[bytes]:
    """Yield the chunks of the body."""
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(idle_s):
                chunk = await anext(stream, None)
        except TimeoutError:  # must not be mistaken for a timeout of the database
            raise ClientDisconnect from None
        if chunk is None:
            return
        yield chunk
