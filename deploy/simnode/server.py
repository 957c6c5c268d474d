"""The web application of a node: all routes under two paths, and middleware."""

from aiohttp import web

from simnode.components import NodeComponents
from simnode.middleware import count_requests, delay_responses, refuse_other_origins
from simnode.routes import control, facts, internal, jobs, prompt, queue, socket, upload, view
from simnode.routes.registry import COMPONENTS, add_routes_with_prefix

FRONT_PAGE = "<!doctype html><title>{name}</title><p>{name}: a simulated ComfyUI {version}. There is no frontend here."


def build_app(components: NodeComponents) -> web.Application:
    """Build the application of one node. Job routes exist only for ComfyUI 0.33."""
    middlewares = [count_requests, refuse_other_origins, delay_responses]
    app = web.Application(client_max_size=components.settings.max_upload_bytes, middlewares=middlewares)
    app[COMPONENTS] = components
    for group in (prompt, queue, upload, view, facts, socket):
        add_routes_with_prefix(app, group.routes)
    if components.settings.is_0_33:
        add_routes_with_prefix(app, jobs.routes)
    app.add_routes(internal.routes)
    app.add_routes(control.routes)
    app.router.add_get("/", _get_front_page)
    app.router.add_get("/{path:.*}", _respond_not_found)
    app.on_shutdown.append(_close_sockets)
    return app


async def _get_front_page(request: web.Request) -> web.Response:
    settings = request.app[COMPONENTS].settings
    page = FRONT_PAGE.format(name=settings.name, version=settings.version)
    return web.Response(text=page, content_type="text/html")


async def _respond_not_found(_request: web.Request) -> web.Response:
    return web.Response(status=404, content_type="application/octet-stream")


async def _close_sockets(app: web.Application) -> None:
    await app[COMPONENTS].hub.close()
