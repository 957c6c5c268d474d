"""Where executors PUT the bytes of outputs. Not part of the public API; the token in the path is the right to do it."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from starlette.requests import ClientDisconnect

from contracts.gateway.transfers import StoredOutput
from gateway.errors import BrokenOutput
from gateway.transfers.output_uploads import OutputUploads

MAX_TYPE = 200


def router(*, intake: OutputUploads, idle_s: float) -> APIRouter:
    """The internal route of uploads.

    Args:
        intake: takes the bytes.
        idle_s: longest pause between two pieces of a body, seconds.
    """
    routes = APIRouter(prefix="/internal", include_in_schema=False)

    @routes.put("/outputs/{token}")
    async def store(token: str, request: Request) -> StoredOutput:
        content_type = request.headers.get("content-type", "application/octet-stream").lower()[:MAX_TYPE]
        try:
            return await intake.store(token, _chunks(request, idle_s), content_type)
        except ClientDisconnect:
            raise BrokenOutput from None

    return routes


async def _chunks(request: Request, idle_s: float) -> AsyncIterator[bytes]:
    """The body, piece by piece."""
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(idle_s):
                chunk = await anext(stream, None)
        except TimeoutError:  # not to be taken for one of the database's
            raise ClientDisconnect from None
        if chunk is None:
            return
        yield chunk
