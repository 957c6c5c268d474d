"""The web application of a node: all routes under two paths, and middleware."""

from aiohttp import web

from simnode.middleware import counting, refuse_other_origins, slowness
from simnode.parts import Parts
from simnode.routes import control, facts, internal, jobs, prompt, queue, socket, upload, view
from simnode.routes.registry import PARTS, add_routes_with_prefix

FRONT_PAGE = "<!doctype html><title>{name}</title><p>{name}: a simulated ComfyUI {version}. There is no frontend here."


def build_app(parts: Parts) -> web.Application:
    """Build the application of one node. Job routes exist only for ComfyUI 0.33."""
    around = [counting, refuse_other_origins, slowness]
    app = web.Application(client_max_size=parts.settings.max_upload_bytes, middlewares=around)
    app[PARTS] = parts
    for group in (prompt, queue, upload, view, facts, socket):
        add_routes_with_prefix(app, group.routes)
    if parts.settings.is_new:
        add_routes_with_prefix(app, jobs.routes)
    app.add_routes(internal.routes)
    app.add_routes(control.routes)
    app.router.add_get("/", _get_front_page)
    app.router.add_get("/{path:.*}", _no_content)
    app.on_shutdown.append(_close_sockets)
    return app


async def _get_front_page(request: web.Request) -> web.Response:
    settings = request.app[PARTS].settings
    page = FRONT_PAGE.format(name=settings.name, version=settings.version)
    return web.Response(text=page, content_type="text/html")


async def _no_content(_request: web.Request) -> web.Response:
    return web.Response(status=404, content_type="application/octet-stream")


async def _close_sockets(app: web.Application) -> None:
    await app[PARTS].hub.close()
