"""One log line for every HTTP request and WebSocket."""

from time import monotonic
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis.telemetry.logs import log

HEALTH_PATHS = frozenset({"/healthz", "/readyz"})
MAX_PATH = 256  # characters of a path that no route has
DISCONNECTED = 499  # as nginx logs a client that left before the response began


class AccessLog:
    """ASGI middleware. Logs ``http.request`` with method, route, status and milliseconds when a request has ended.

    ``route`` is the route's template, since a path can contain credentials; ``path`` is logged where no route matches.
    ``user_id`` is logged if something inside put it into the request's state. Health checks are logged at level debug.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        began, status = monotonic(), DISCONNECTED

        async def send_noting_status(message: Message) -> None:
            nonlocal status
            if message["type"] in {"http.response.start", "websocket.http.response.start"}:
                status = message["status"]
            elif message["type"] == "websocket.accept":
                status = 101
            await send(message)

        try:
            await self._app(scope, receive, send_noting_status)
        except Exception:
            status = 500 if status == DISCONNECTED else status
            raise
        finally:
            write = log.debug if scope["path"] in HEALTH_PATHS else log.info
            write(
                "http.request", status=status, ms=round((monotonic() - began) * 1000, 1), **_build_request_fields(scope)
            )


def _build_request_fields(scope: Scope) -> dict[str, Any]:
    route, user_id = scope.get("route"), scope["state"].get("user_id")
    template = getattr(route, "path", None)
    found: dict[str, Any] = {"method": scope.get("method", "WEBSOCKET")}
    found |= {"route": template} if template else {"path": scope["path"][:MAX_PATH]}
    return found | ({"user_id": user_id} if user_id else {})
