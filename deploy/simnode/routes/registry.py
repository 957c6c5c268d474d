"""How handlers access the node, and how they are registered under two paths each."""

from aiohttp import web

from simnode.components import NodeComponents

COMPONENTS: web.AppKey[NodeComponents] = web.AppKey("components", NodeComponents)


def get_components(request: web.Request) -> NodeComponents:
    """Return the node that serves a request."""
    return request.app[COMPONENTS]


def add_routes_with_prefix(app: web.Application, routes: web.RouteTableDef) -> None:
    """Register every route with and without the prefix ``/api``, as ComfyUI does.

    So a route that already begins with ``/api`` is also served as ``/api/api/...``.
    """
    for route in routes:
        if isinstance(route, web.RouteDef):
            app.router.add_route(route.method, route.path, route.handler, **route.kwargs)
            app.router.add_route(route.method, f"/api{route.path}", route.handler, **route.kwargs)
