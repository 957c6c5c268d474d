"""``/view``: files of a node, unchanged, re-encoded, or a single channel."""

import asyncio
import io
import mimetypes
import os
from pathlib import Path

from aiohttp import web
from PIL import Image

from simnode.components import NodeComponents
from simnode.folders import is_inside
from simnode.routes.registry import get_components

routes = web.RouteTableDef()

ACTIVE_TYPES = frozenset(
    {
        "application/javascript",
        "application/xml",
        "image/svg+xml",
        "text/css",
        "text/html",
        "text/html-sandboxed",
        "text/javascript",
        "text/xml",
    }
)
DEFAULT_QUALITY = 90


@routes.get("/view")
async def get_view(request: web.Request) -> web.StreamResponse:
    """Return a file by exact name, subfolder and type. 400, 403 and 404 have empty bodies."""
    components, query = get_components(request), request.rel_url.query
    path = _find_file(components, query.get("filename", ""), query.get("type", "output"), query.get("subfolder", ""))
    if isinstance(path, int):
        return web.Response(status=path)
    if components.faults.trigger("view_404") or not await asyncio.to_thread(path.is_file):
        return web.Response(status=404)
    if components.faults.trigger("view_truncated"):
        return await _truncate_response(request, path)
    channel = query.get("channel", "rgba")
    disposition = {"Content-Disposition": f'filename="{path.name}"'}
    if "preview" in query:
        body, kind = await asyncio.to_thread(_build_preview_response, path, query["preview"], channel)
        return web.Response(body=body, content_type=kind, headers=disposition)
    if channel in {"rgb", "a"}:
        body = await asyncio.to_thread(_extract_channel, path, channel)
        return web.Response(body=body, content_type="image/png", headers=disposition)
    return web.FileResponse(path, headers=_build_response_headers(path, is_0_33=components.settings.is_0_33))


def _find_file(components: NodeComponents, filename: str, kind: str, subfolder: str) -> Path | int:
    """Return the path for a query, or the status that refuses it."""
    if not filename:
        return 404
    name, folder = components.folders.split_annotation(filename, "")
    if not name or name.startswith("/") or ".." in name:
        return 400
    base = folder if name != filename else components.folders.get_folder(kind)
    if base is None:
        return 400
    if not is_inside(base / subfolder, base):
        return 403
    return base / subfolder / os.path.basename(name)  # noqa: PTH119 - a string from the wire


def _build_response_headers(path: Path, *, is_0_33: bool) -> dict[str, str]:
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    disposition = f'filename="{path.name}"'
    if kind in ACTIVE_TYPES:
        kind, disposition = "application/octet-stream", f"attachment; {disposition}"
    headers = {"Content-Disposition": disposition, "Content-Type": kind}
    return {**headers, "X-Content-Type-Options": "nosniff"} if is_0_33 else headers


def _build_preview_response(path: Path, wish: str, channel: str) -> tuple[bytes, str]:
    """Re-encode without resizing. A channel with alpha requires WebP."""
    kind, _, quality = wish.partition(";")
    if kind not in {"webp", "jpeg"} or "a" in channel:
        kind = "webp"
    buffer = io.BytesIO()
    with Image.open(path) as image:
        converted = image.convert("RGB") if kind == "jpeg" else image
        converted.save(buffer, kind, quality=int(quality) if quality.isdigit() else DEFAULT_QUALITY)
    return buffer.getvalue(), f"image/{kind}"


def _extract_channel(path: Path, channel: str) -> bytes:
    buffer = io.BytesIO()
    with Image.open(path) as image:
        if channel == "rgb":
            image.convert("RGB").save(buffer, "PNG")
        else:
            alpha = image.convert("RGBA").getchannel("A")
            black = Image.new("RGBA", image.size)
            black.putalpha(alpha)
            black.save(buffer, "PNG")
    return buffer.getvalue()


async def _truncate_response(request: web.Request, path: Path) -> web.StreamResponse:
    """Announce the whole file, send half of it, and abort the connection."""
    content = await asyncio.to_thread(path.read_bytes)
    response = web.StreamResponse(headers={"Content-Type": "image/png"})
    response.content_length = len(content)
    await response.prepare(request)
    await response.write(content[: len(content) // 2])
    if request.transport is not None:
        request.transport.close()
    return response
