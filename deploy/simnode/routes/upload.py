"""``/upload/image`` and ``/upload/mask``."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from aiohttp import web

from simnode.components import NodeComponents
from simnode.folders import is_inside
from simnode.routes.registry import get_components
from simnode.uploads import apply_mask, store

routes = web.RouteTableDef()


@routes.post("/upload/image")
async def post_image(request: web.Request) -> web.Response:
    """Store any file, whatever its content. The response contains its name."""
    form = await request.post()
    target = _choose_target_path(get_components(request), form)
    if target is None:
        return web.Response(status=400)
    folder, name, content = target
    overwrite = form.get("overwrite") in {"true", "1"}
    stored = await asyncio.to_thread(store, folder, name, content, overwrite=overwrite)
    if get_components(request).faults.trigger("upload_lost"):
        (folder / stored).unlink()
    return _build_upload_response(stored, form)


@routes.post("/upload/mask")
async def post_mask(request: web.Request) -> web.Response:
    """Store an uploaded image with a new alpha channel. If the image is missing, respond with 200 and store nothing."""
    components, form = get_components(request), await request.post()
    target = _choose_target_path(components, form)
    if target is None:
        return web.Response(status=400)
    folder, name, content = target
    original = json.loads(str(form.get("original_ref")))
    masked = await asyncio.to_thread(apply_mask, components.folders, original, content)
    if masked is not None:
        name = await asyncio.to_thread(store, folder, name, masked, overwrite=True)
    return _build_upload_response(name, form)


def _choose_target_path(components: NodeComponents, form: Any) -> tuple[Path, str, bytes] | None:
    """Return folder, file name and bytes of an upload; None if there is no file or it would leave its folder.

    Raises:
        ValueError: an unknown type. ComfyUI does not catch it either.
    """
    image, subfolder = form.get("image"), str(form.get("subfolder", ""))
    base = components.folders.get_folder(str(form.get("type", "input")))
    if base is None:
        raise ValueError("unknown type")
    if not isinstance(image, web.FileField) or not image.filename:
        return None
    folder = base / os.path.normpath(subfolder)
    if not is_inside(folder / image.filename, base):
        return None
    return folder, image.filename, image.file.read()


def _build_upload_response(name: str, form: Any) -> web.Response:
    kind = str(form.get("type", "input"))
    return web.json_response({"name": name, "subfolder": str(form.get("subfolder", "")), "type": kind})
