"""HTTP responses with stored bytes: ETag, Range, and headers that keep browsers from running them."""

import re
from dataclasses import dataclass
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException

from gateway.storage.byte_range import ByteRange, UnsatisfiableError, etag_matches, parse_range
from gateway.storage.file_names import make_safe_name
from gateway.storage.objects import SMALL_BYTES, ArtifactStore

_INLINE_TYPE = re.compile(
    r"^(image/(?!svg)|video/|audio/)[a-z0-9.+-]+$"
)  # media that browsers display without executing anything
_NOT_PORTABLE = re.compile(r"[^A-Za-z0-9._-]")
_TYPE = re.compile(r"^[a-z0-9.+-]+/[a-z0-9.+-]+(; ?charset=[a-z0-9-]+)?$")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A stored object and its Content-Disposition. ``sha256`` is hex."""

    key: str
    sha256: str
    size_bytes: int
    content_type: str
    content_disposition: str


async def respond_with_object(request: Request, stored: StoredObject, objects: ArtifactStore) -> Response:
    """Return the object, the requested range of it, or 304. The ETag is the SHA-256.

    Raises:
        HTTPException: 416, the range begins after the last byte.
        FileNotFoundError: the object was deleted.
    """
    etag = f'"{stored.sha256}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if etag_matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    requested = _parse_requested_range(request, etag, stored.size_bytes)
    sent = requested or ByteRange(0, stored.size_bytes)
    headers |= {
        "Accept-Ranges": "bytes",
        "Content-Type": stored.content_type if _TYPE.match(stored.content_type) else "application/octet-stream",
        "Content-Length": str(sent.end - sent.first),
        "Content-Disposition": stored.content_disposition,
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }
    if requested:
        headers["Content-Range"] = requested.content_range(stored.size_bytes)
    status = 206 if requested else 200
    if request.method == "HEAD" or sent.first == sent.end:
        return Response(status_code=status, headers=headers)
    if sent.end - sent.first <= SMALL_BYTES:
        return Response(await objects.read_range(stored.key, sent), status_code=status, headers=headers)
    return StreamingResponse(await objects.stream_range(stored.key, sent), status_code=status, headers=headers)


def _parse_requested_range(request: Request, etag: str, size: int) -> ByteRange | None:
    """Return the requested range; None for the whole, also if If-Range does not match."""
    if request.headers.get("if-range", etag) != etag:
        return None
    try:
        return parse_range(request.headers.get("range"), size)
    except UnsatisfiableError:
        raise HTTPException(
            416, "The range begins after the last byte.", headers={"Content-Range": f"bytes */{size}"}
        ) from None


def build_content_disposition(name: str, content_type: str) -> str:
    """Return ``inline`` for media that browsers do not execute, else ``attachment``, with a file name (RFC 8187)."""
    disposition = "inline" if _INLINE_TYPE.match(content_type) else "attachment"
    safe = make_safe_name(name)
    return f"{disposition}; filename=\"{_NOT_PORTABLE.sub('_', safe)}\"; filename*=UTF-8''{quote(safe, safe='')}"
