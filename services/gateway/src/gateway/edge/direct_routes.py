"""Routes that are asked thousands of times a second (decision record 0020)."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.edge.access import credential_parameter


class DirectRoute(APIRoute):
    """Calls its endpoint with what path and credential say, and sends the ``Response`` that it returns.

    FastAPI's own way solves the dependencies of every request anew and validates every answer. The document is still
    made of the signature; ``response_model`` says what the body is. An endpoint takes ``request``, one parameter of a
    type of ``gateway.edge.access``, and those of its path, as text.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **declared: Any) -> None:
        super().__init__(path, endpoint, **declared)
        self._name, self._needs = credential_parameter(self)
        self.app = self._answer

    async def respond(self, request: Request) -> Response:
        """What the endpoint returns; raises what it raises."""
        who = {self._name: self._needs.value(request)}
        response: Response = await self.endpoint(request=request, **who, **request.scope["path_params"])
        return response

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self.respond(Request(scope, receive, send))
        await response(scope, receive, send)


class AtOnce:
    """ASGI middleware, the innermost: finds direct routes without parameters by their path.

    For all others the router tries one after another, behind layers that such a route needs not. What a route raises is
    answered by the application's handler for its class, as there; all of those are coroutines.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._known: dict[tuple[str, str], DirectRoute] | None = None  # until the application has all its routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if self._known is None:
            self._known = _by_path(scope["app"])
        route = self._known.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if route is None:
            await self._app(scope, receive, send)
            return
        scope["route"], scope["path_params"] = route, {}
        request = Request(scope, receive, send)
        try:
            response = await route.respond(request)
        except Exception as error:
            handlers = scope["app"].exception_handlers
            found = [handlers[kind] for kind in type(error).__mro__ if kind in handlers]
            if not found:
                raise
            response = await found[0](request, error)
        await response(scope, receive, send)


def _by_path(app: FastAPI) -> dict[tuple[str, str], DirectRoute]:
    return {
        (method, route.path): route
        for route in app.router.routes
        if isinstance(route, DirectRoute) and not route.param_convertors
        for method in route.methods or ()
    }


def json_response(body: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A body as FastAPI would write it, in one step."""
    return Response(body.model_dump_json(), status, headers, "application/json")
