"""``/simnode/*``, which no ComfyUI has: the ledger for tests, and fault injection."""

import json

from aiohttp import web

from simnode.faults import NAMES
from simnode.parts import Parts
from simnode.routes.registry import get_parts
from simnode.wire import Document

routes = web.RouteTableDef()


@routes.get("/simnode/ledger")
async def get_ledger(request: web.Request) -> web.Response:
    """Return everything that the node did since it started."""
    return web.json_response(get_parts(request).ledger.describe())


@routes.get("/simnode/faults")
async def get_faults(request: web.Request) -> web.Response:
    """Return every fault that was armed since the start, whether it still is, and how often it occurred."""
    return web.json_response(get_parts(request).faults.describe())


@routes.post("/simnode/faults")
async def post_fault(request: web.Request) -> web.Response:
    """Arm the fault ``name`` with the other keys as parameters; 400 if there is no such fault."""
    try:
        body = await request.json()
    except json.JSONDecodeError:
        return web.json_response({"error": "the body must be JSON"}, status=400)
    name = body.pop("name", None) if isinstance(body, dict) else None
    if name not in NAMES:
        return web.json_response({"error": f"no such fault: {name}", "known": sorted(NAMES)}, status=400)
    parts = get_parts(request)
    if not _trigger_immediate_fault(parts, name, body):
        parts.faults.arm(name, body)
    return web.json_response(parts.faults.describe())


@routes.delete("/simnode/faults")
async def delete_faults(request: web.Request) -> web.Response:
    """Disarm one fault (``?name=``) or all."""
    parts = get_parts(request)
    parts.faults.clear(request.rel_url.query.get("name"))
    return web.json_response(parts.faults.describe())


@routes.post("/simnode/log")
async def post_log(request: web.Request) -> web.Response:
    """Write texts to the node's log, one entry each."""
    for text in await request.json():
        get_parts(request).log.write(text)
    return web.Response()


@routes.post("/simnode/models")
async def post_models(request: web.Request) -> web.Response:
    """Set the files in the model folder ``folder`` to ``names``."""
    body = await request.json()
    shelf = get_parts(request).shelf
    shelf.set_models(body["folder"], body["names"])
    return web.json_response(shelf.models(body["folder"]))


@routes.post("/simnode/gpu")
async def post_gpu(request: web.Request) -> web.Response:
    """Set the GPU memory that the node reports, in GiB (``gib``). Prompts are not affected."""
    parts = get_parts(request)
    parts.vram_gib = (await request.json())["gib"]
    return web.json_response({"gib": parts.vram_gib})


def _trigger_immediate_fault(parts: Parts, name: str, params: Document) -> bool:
    """Trigger faults that occur on request instead of being armed."""
    if name == "ws_drop":
        parts.hub.abort_connections()
    elif name == "history_cleared" and "count" not in params:
        parts.history.clear()
    else:
        return False
    parts.faults.count_occurrence(name)
    return True
