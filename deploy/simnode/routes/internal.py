"""``/internal/*``: what ComfyUI tells its own frontend, under this one prefix only."""

from aiohttp import web

from simnode.routes.registry import parts_of

routes = web.RouteTableDef()


@routes.get("/internal/logs/raw")
async def get_raw_logs(request: web.Request) -> web.Response:
    """What the node wrote to its standard streams lately."""
    return web.json_response({"entries": parts_of(request).log.entries(), "size": {"cols": 80, "rows": 24}})
