"""Where executors GET the bytes of uploads. Not part of the public API; the token in the path is the right to do it."""

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from gateway.transfers.input_downloads import InputDownloads


def router(*, handout: InputDownloads) -> APIRouter:
    """The internal route of inputs."""
    routes = APIRouter(prefix="/internal", include_in_schema=False)

    @routes.get("/inputs/{token}")
    async def fetch(token: str) -> StreamingResponse:
        upload, chunks = await handout.open(token)
        headers = {"Content-Length": str(upload.size_bytes), "Cache-Control": "no-store"}
        return StreamingResponse(chunks, media_type=upload.content_type, headers=headers)

    return routes
