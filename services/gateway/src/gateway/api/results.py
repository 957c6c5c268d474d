"""The bytes that jobs made."""

import re
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException

from chassis.bus import Bus
from contracts.gateway import NoArtifact
from contracts.scheduler import Output
from gateway.api.access import Reader
from gateway.api.problems import problems
from gateway.domain.byte_range import ByteRange, UnsatisfiableError, matches, parse_range
from gateway.domain.public_job import OutputsBody, present_outputs
from gateway.store.artifacts import Artifact, Artifacts
from gateway.store.objects import SMALL_BYTES, Objects
from gateway.usecases.find_result import find_result, read_finished

_MEDIA = re.compile(r"^(image/(?!svg)|video/|audio/)[a-z0-9.+-]+$")  # what a browser shows without running any of it
_TYPE = re.compile(r"^[a-z0-9.+-]+/[a-z0-9.+-]+(; ?charset=[a-z0-9-]+)?$")


def router(*, bus: Bus, artifacts: Artifacts, objects: Objects, public_url: str) -> APIRouter:
    """The routes of results."""
    routes = APIRouter(prefix="/api/v1/jobs/{job_id}", tags=["results"])
    documented: dict[int | str, dict[str, Any]] = {
        200: {"content": {"image/png": {}, "application/octet-stream": {}}, "description": "The bytes."},
        206: {"description": "The part that Range asked for."},
        304: {"description": "If-None-Match names the ETag."},
        **problems(404, 409, 416, 422),
    }

    @routes.get("/outputs", summary="All outputs of a completed job", responses=problems(404, 409))
    async def outputs(tenant: Reader, job_id: str) -> OutputsBody:
        job = await read_finished(job_id, tenant=tenant, bus=bus)
        return OutputsBody(outputs=present_outputs(job, public_url))

    async def result(
        request: Request,
        tenant: Reader,
        job_id: str,
        index: Annotated[int | None, Query(ge=0, le=1_000_000, description="which of all outputs")] = None,
        node: Annotated[str | None, Query(max_length=256, description="the first output of this node")] = None,
    ) -> Response:
        """The bytes of the first output that is not a mere preview. One Range at a time; ETag is the SHA-256."""
        output, artifact = await find_result(
            job_id, tenant=tenant, index=index, node=node, bus=bus, artifacts=artifacts
        )
        return await _answer(request, output, artifact, objects)

    for path, name in (("/result", "result"), ("/image", "image")):
        routes.get(
            path, summary="The bytes of one output", operation_id=name, responses=documented, response_class=Response
        )(result)
        routes.head(path, include_in_schema=False)(result)
    return routes


async def _answer(request: Request, output: Output, artifact: Artifact, objects: Objects) -> Response:
    etag = f'"{artifact.sha256}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    part = _part(request, etag, artifact.size_bytes)
    whole = part or ByteRange(0, artifact.size_bytes)
    headers |= {
        "Accept-Ranges": "bytes",
        "Content-Type": artifact.content_type if _TYPE.match(artifact.content_type) else "application/octet-stream",
        "Content-Length": str(whole.end - whole.first),
        "Content-Disposition": _disposition(output),
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    if part:
        headers["Content-Range"] = part.content_range(artifact.size_bytes)
    status = 206 if part else 200
    if request.method == "HEAD" or whole.first == whole.end:
        return Response(status_code=status, headers=headers)
    try:
        if whole.end - whole.first <= SMALL_BYTES:
            return Response(await objects.read(artifact.key, whole), status_code=status, headers=headers)
        return StreamingResponse(await objects.open(artifact.key, whole), status_code=status, headers=headers)
    except FileNotFoundError:
        raise NoArtifact from None


def _part(request: Request, etag: str, size: int) -> ByteRange | None:
    """The part asked for; None for all of it, also where If-Range names other bytes than these."""
    if request.headers.get("if-range", etag) != etag:
        return None
    try:
        return parse_range(request.headers.get("range"), size)
    except UnsatisfiableError:
        raise HTTPException(
            416, "The range begins after the last byte.", headers={"Content-Range": f"bytes */{size}"}
        ) from None


def _disposition(output: Output) -> str:
    """Shown where a browser runs none of it, saved otherwise; the name is only a suggestion (RFC 6266)."""
    how = "inline" if _MEDIA.match(output.content_type) else "attachment"
    name = output.name.rsplit("/", 1)[-1].rsplit("\\", 1)[-1]
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)[:150] or "output"
    return f"{how}; filename=\"{plain}\"; filename*=UTF-8''{quote(name[:150], safe='')}"
