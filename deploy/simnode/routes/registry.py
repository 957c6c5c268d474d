"""How handlers reach the node and are hung into the application, each under two paths."""

from aiohttp import web

from simnode.parts import Parts

PARTS: web.AppKey[Parts] = web.AppKey("parts", Parts)


def parts_of(request: web.Request) -> Parts:
    """The node that serves a request."""
    return request.app[PARTS]


def add_both(app: web.Application, routes: web.RouteTableDef) -> None:
    """Register every route bare and under ``/api``, as ComfyUI does; ``/api/jobs`` is so also at ``/api/api/jobs``."""
    for route in routes:
        if isinstance(route, web.RouteDef):
            app.router.add_route(route.method, route.path, route.handler, **route.kwargs)
            app.router.add_route(route.method, f"/api{route.path}", route.handler, **route.kwargs)
