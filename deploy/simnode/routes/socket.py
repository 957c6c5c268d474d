"""``/ws``: one connection from upgrade to close."""

import json
import uuid

from aiohttp import WSMsgType, web

from simnode.hub import Hub
from simnode.routes.facts import build_feature_flags
from simnode.routes.registry import get_components
from simnode.wire import Document

routes = web.RouteTableDef()


@routes.get("/ws")
async def open_socket(request: web.Request) -> web.StreamResponse:
    """Register a socket under its session id and read until it closes. A plain GET gives 400."""
    components = get_components(request)
    if components.faults.trigger("ws_refuse"):
        return web.Response(status=503)
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    sid = request.rel_url.query.get("clientId", "") or uuid.uuid4().hex
    components.hub.register(sid, socket, request.transport)
    try:
        await components.hub.send_initial_messages(sid, components.queue.remaining)
        await _receive_messages(socket, sid, components.hub, build_feature_flags(components))
    finally:
        components.hub.unregister(sid, socket)
    return socket


async def _receive_messages(socket: web.WebSocketResponse, sid: str, hub: Hub, own_flags: Document) -> None:
    """Only the first text message is used: it can contain the client's feature flags."""
    first = True
    async for message in socket:
        if message.type is WSMsgType.TEXT and first:
            first = False
            flags = _parse_feature_flags(message.data)
            if flags is not None:
                hub.set_flags(sid, flags)
                hub.send("feature_flags", own_flags, sid)


def _parse_feature_flags(text: str) -> Document | None:
    try:
        message = json.loads(text)
    except json.JSONDecodeError:
        return None
    if not isinstance(message, dict) or message.get("type") != "feature_flags":
        return None
    data = message.get("data")
    return data if isinstance(data, dict) else {}
