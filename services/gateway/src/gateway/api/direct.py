"""Routes that are asked thousands of times a second (decision record 0020)."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from gateway.api.access import granted_by


class DirectRoute(APIRoute):
    """Calls its endpoint with what path and credential say, and sends the ``Response`` that it returns.

    FastAPI's own way solves the dependencies of every request anew and validates every answer. The document is still
    made of the signature; ``response_model`` says what the body is. An endpoint takes ``request``, one parameter of a
    type of ``gateway.api.access``, and those of its path, as text.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **declared: Any) -> None:
        super().__init__(path, endpoint, **declared)
        self._name, self._needs = granted_by(self)
        self.app = self._answer

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        who = {self._name: self._needs.value(request)}
        response: Response = await self.endpoint(request=request, **who, **scope["path_params"])
        await response(scope, receive, send)


def find_at_once(app: FastAPI) -> None:
    """Find direct routes without parameters by their path; for all others the router tries one after another."""
    search = app.router.middleware_stack
    known = {
        (method, route.path): route
        for route in app.router.routes
        if isinstance(route, DirectRoute) and not route.param_convertors
        for method in route.methods or ()
    }

    async def find(scope: Scope, receive: Receive, send: Send) -> None:
        route = known.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if route is None:
            await search(scope, receive, send)
            return
        scope["route"], scope["path_params"] = route, {}
        await route.app(scope, receive, send)

    app.router.middleware_stack = find


def json_response(body: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A body as FastAPI would write it, in one step."""
    return Response(body.model_dump_json(), status, headers, "application/json")
