"""``/simnode/*``, which ComfyUI does not have: the ledger for tests, and fault injection."""

import json

from aiohttp import web

from simnode.components import NodeComponents
from simnode.faults import NAMES
from simnode.routes.registry import get_components
from simnode.wire import Document

routes = web.RouteTableDef()


@routes.get("/simnode/ledger")
async def get_ledger(request: web.Request) -> web.Response:
    """Return everything that the node did since it started."""
    return web.json_response(get_components(request).ledger.describe())


@routes.get("/simnode/faults")
async def get_faults(request: web.Request) -> web.Response:
    """Return every fault that was armed since the start, whether it still is armed, and how often it occurred."""
    return web.json_response(get_components(request).faults.describe())


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
    components = get_components(request)
    if not _trigger_immediate_fault(components, name, body):
        components.faults.arm(name, body)
    return web.json_response(components.faults.describe())


@routes.delete("/simnode/faults")
async def delete_faults(request: web.Request) -> web.Response:
    """Disarm one fault (``?name=``) or all."""
    components = get_components(request)
    components.faults.disarm(request.rel_url.query.get("name"))
    return web.json_response(components.faults.describe())


@routes.post("/simnode/log")
async def post_log(request: web.Request) -> web.Response:
    """Write strings to the node's log, one entry each."""
    for text in await request.json():
        get_components(request).log.write(text)
    return web.Response()


@routes.post("/simnode/models")
async def post_models(request: web.Request) -> web.Response:
    """Set the files in the model folder ``folder`` to ``names``."""
    body = await request.json()
    resources = get_components(request).resources
    resources.set_models(body["folder"], body["names"])
    return web.json_response(resources.list_models(body["folder"]))


@routes.post("/simnode/gpu")
async def post_gpu(request: web.Request) -> web.Response:
    """Set the GPU memory that the node reports, in GiB (``gib``). Prompts are not affected."""
    components = get_components(request)
    components.vram_gib = (await request.json())["gib"]
    return web.json_response({"gib": components.vram_gib})


def _trigger_immediate_fault(components: NodeComponents, name: str, params: Document) -> bool:
    """Trigger faults that occur on request instead of being armed."""
    if name == "ws_drop":
        components.hub.abort_connections()
    elif name == "history_cleared" and "count" not in params:
        components.history.clear()
    else:
        return False
    components.faults.count_occurrence(name)
    return True
