"""``/internal/*``: routes for ComfyUI's own frontend. They have no ``/api`` variant."""

from aiohttp import web

from simnode.routes.registry import get_components

routes = web.RouteTableDef()


@routes.get("/internal/logs/raw")
async def get_raw_logs(request: web.Request) -> web.Response:
    """Return the node's latest output to its standard streams."""
    return web.json_response({"entries": get_components(request).log.list_entries(), "size": {"cols": 80, "rows": 24}})
