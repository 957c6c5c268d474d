"""Checks that every error of the gateway is declared by its route (``declare_problems(...)``)."""

import json
from typing import Any

from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contracts.wire.errors import InternalFault
from gateway.api.v1.problems import PROBLEM_JSON, list_declared_codes


def is_declared(route: APIRoute, code: str) -> bool:
    """Return whether the route declares this code. Generic HTTP errors and internal errors are always allowed."""
    return code.startswith("http.") or code == InternalFault.code or code in list_declared_codes(route.responses)


class DeclaredErrorsOnly:
    """ASGI middleware that responds with 500 in place of an error that the route does not declare."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        start: Message | None = None

        async def checked(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start" and _is_problem(message):
                start = message
                return
            if start is not None:
                undeclared = _undeclared(scope, message)
                if undeclared:
                    start = {"type": "http.response.start", "status": 500, "headers": []}
                    message = {"type": "http.response.body", "body": undeclared.encode()}
                await send(start)
                start = None
            await send(message)

        await self._app(scope, receive, checked)


def _is_problem(start: Message) -> bool:
    return (b"content-type", PROBLEM_JSON.encode()) in start["headers"]


def _undeclared(scope: Scope, body: Message) -> str | None:
    route: Any = scope.get("route")
    if not isinstance(route, APIRoute) or not body.get("body"):
        return None
    code = json.loads(body["body"])["code"]
    if not list_declared_codes(route.responses):  # a route of another service
        return None
    return None if is_declared(route, code) else f"{code} is not declared by {scope['method']} {route.path}"
