"""How handlers access the node, and how they are registered under two paths each."""

from aiohttp import web

from simnode.parts import Parts

PARTS: web.AppKey[Parts] = web.AppKey("parts", Parts)


def get_parts(request: web.Request) -> Parts:
    """Return the node that serves a request."""
    return request.app[PARTS]


def add_routes_with_prefix(app: web.Application, routes: web.RouteTableDef) -> None:
    """Register every route with and without the prefix ``/api``, as ComfyUI does.

    ``/api/jobs`` is also ``/api/api/jobs``.
    """
    for route in routes:
        if isinstance(route, web.RouteDef):
            app.router.add_route(route.method, route.path, route.handler, **route.kwargs)
            app.router.add_route(route.method, f"/api{route.path}", route.handler, **route.kwargs)
