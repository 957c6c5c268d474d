"""The internal route from which executors GET uploads. The token in the path authorizes the request."""

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from gateway.api.v1.problems import declare_public_problems
from gateway.transfers.errors import BadInputToken
from gateway.transfers.input_downloads import InputDownloads
from gateway.uploads.errors import UnknownUpload


def create_router(*, downloads: InputDownloads) -> APIRouter:
    routes = APIRouter(prefix="/internal", include_in_schema=False)

    @routes.get("/inputs/{token}", responses=declare_public_problems(BadInputToken, UnknownUpload))
    async def download_input(token: str) -> StreamingResponse:
        upload, chunks = await downloads.open_upload(token)
        headers = {"Content-Length": str(upload.size_bytes), "Cache-Control": "no-store"}
        return StreamingResponse(chunks, media_type=upload.content_type, headers=headers)

    return routes
