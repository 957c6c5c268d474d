"""``/queue``, ``/interrupt``, ``/free`` and ``/history``: waiting, running and ended prompts."""

import json
from typing import Any

from aiohttp import web

from simnode.components import NodeComponents
from simnode.routes.registry import get_components
from simnode.wire import QueueItem

routes = web.RouteTableDef()


def delete_waiting(components: NodeComponents, prompt_id: str) -> bool:
    """Remove the first waiting prompt with this id. It gets no history entry and no event."""
    item = components.queue.delete(lambda one: one[1] == prompt_id)
    if item is not None:
        components.ledger.record_deletion(item[1])
    return item is not None


def interrupt_if_running(components: NodeComponents, prompt_id: str) -> bool:
    """Set the interrupt flag if this prompt is running."""
    hit = any(item[1] == prompt_id for item in components.queue.running)
    components.ledger.record_interrupt(prompt_id, effective=hit)
    if hit:
        components.interrupts.set()
    return hit


def format_queue_items(items: list[QueueItem]) -> list[list[Any]]:
    """Return queue items in the format for clients: five elements."""
    return [list(item[:5]) for item in items]


@routes.get("/queue")
async def get_queue(request: web.Request) -> web.Response:
    """Return running and waiting prompts, the latter in heap order."""
    components = get_components(request)
    queue = components.queue
    if queue.running and components.faults.trigger("queue_hidden"):
        return web.json_response({"queue_running": [], "queue_pending": []})
    return web.json_response(
        {"queue_running": format_queue_items(queue.running), "queue_pending": format_queue_items(queue.pending)}
    )


@routes.post("/queue")
async def post_queue(request: web.Request) -> web.Response:
    """Clear the waiting prompts or delete some. Always 200 with an empty body."""
    components, body = get_components(request), await request.json()
    if body.get("clear"):
        for item in components.queue.clear():
            components.ledger.record_deletion(item[1])
    for prompt_id in body.get("delete", []):
        delete_waiting(components, prompt_id)
    return web.Response()


@routes.post("/interrupt")
async def post_interrupt(request: web.Request) -> web.Response:
    """Interrupt the running prompt, or a given one if it is running. Always 200."""
    components = get_components(request)
    try:
        body = await request.json()
    except json.JSONDecodeError:
        body = {}
    prompt_id = body.get("prompt_id")
    if prompt_id:
        interrupt_if_running(components, prompt_id)
    else:
        components.ledger.record_interrupt(None, effective=bool(components.queue.running))
        components.interrupts.set()
    return web.Response()


@routes.post("/free")
async def post_free(request: web.Request) -> web.Response:
    """Request that memory be freed. Applied between prompts."""
    queue, body = get_components(request).queue, await request.json()
    for name in ("unload_models", "free_memory"):
        if body.get(name):
            queue.set_flag(name)
    return web.Response()


@routes.get("/history")
async def get_history(request: web.Request) -> web.Response:
    """Return ended prompts, all or a page. A parameter that is not an integer gives 500."""
    query = request.rel_url.query
    max_items = int(query["max_items"]) if "max_items" in query else None
    return web.json_response(get_components(request).history.list_page(max_items, int(query.get("offset", -1))))


@routes.get("/history/{prompt_id}")
async def get_one_history(request: web.Request) -> web.Response:
    """Return one ended prompt, or ``{}``."""
    return web.json_response(get_components(request).history.get_entry(request.match_info["prompt_id"]))


@routes.post("/history")
async def post_history(request: web.Request) -> web.Response:
    """Clear the history or delete entries."""
    history, body = get_components(request).history, await request.json()
    if body.get("clear"):
        history.clear()
    for prompt_id in body.get("delete", []):
        history.delete(prompt_id)
    return web.Response()
