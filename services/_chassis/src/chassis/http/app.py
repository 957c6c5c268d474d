"""The HTTP application of a service: health, readiness, problem+json (RFC 9457), request ids, security headers."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http import HTTPStatus
from time import monotonic
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis.database.postgres import UNAVAILABLE_ERRORS, is_unavailable
from chassis.http.access_log import AccessLog
from chassis.ids import choose_request_id, new_id
from chassis.loop import Loop
from chassis.shutdown import Shutdown
from chassis.telemetry.logs import log, log_context
from chassis.telemetry.loop_monitor import DEBUG_INTERVAL_S, INTERVAL_S, EventLoopMonitor
from chassis.telemetry.metrics import Metrics
from contracts.wire.errors import (
    HTTP_STATUS,
    ErrorKind,
    FieldError,
    InternalFault,
    Refusal,
    RefusalDetails,
    Unavailable,
)
from contracts.wire.field_messages import build_field_message

Probe = Callable[[], Awaitable[None]]
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]

PROBE_TIMEOUT_S = 1.0
CHECK_DEPENDENCIES_S = 10.0
UNMEASURED_PATHS = frozenset({"/healthz", "/readyz"})  # their 503 is not an error
UNROUTED = "unrouted"
DISCONNECTED = 499  # as nginx logs a client that left without a response
MAX_ERRORS = 100
MAX_TEXT = 256  # maximum length of client text in a problem: paths and field names
HTTP_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
"""Headers of every response, unless its route sets other values."""
HSTS_HEADER = (b"strict-transport-security", b"max-age=31536000")

_RESPONSE_STARTS = {"http.response.start", "websocket.http.response.start"}


class NotReady(Exception):
    """A readiness check fails. The message says why and what to do; ``/readyz`` shows it to everybody."""


class ProblemResponse(JSONResponse):
    """A problem as an RFC 9457 response."""

    media_type = "application/problem+json"


class RequestBoundaryMiddleware:
    """Outermost middleware: sets the request id, adds security headers, and responds to unhandled exceptions.

    The request id is the client's ``X-Request-Id`` if that is valid, else a new one. It is logged and returned in the
    response's ``X-Request-Id`` and in every problem. Exceptions are caught here because Starlette would respond to them
    outside of all middleware.

    Args:
        app: the inner application.
        metrics: records the duration of every request.
        https: all clients use TLS (adds HSTS).
        shutdown: once it has begun, a response closes its connection, so that clients move to another replica.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics, shutdown: Shutdown, https: bool = False) -> None:
        self._app, self._metrics, self._shutdown = app, metrics, shutdown
        self._default_headers = (*SECURITY_HEADERS, HSTS_HEADER) if https else SECURITY_HEADERS
        self._default_names = frozenset(name for name, _ in self._default_headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or WebSocket."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        request_id = _read_request_id(scope)
        started, status, began = False, DISCONNECTED, monotonic()

        async def send_all(message: Message) -> None:
            nonlocal started, status
            if message["type"] in _RESPONSE_STARTS:
                started, status = True, message["status"]
                message["headers"] = self._complete_headers(message, request_id)
            await send(message)

        scope.setdefault("state", {})["request_id"] = request_id
        with log_context(request_id=request_id):
            try:
                await self._app(scope, receive, send_all)
            except Exception as error:
                if started or scope["type"] != "http":
                    raise
                log.error("web.crashed", path=scope["path"], exc_info=error)
                await build_problem_response(Request(scope), InternalFault().details)(scope, receive, send_all)
            finally:
                if scope["type"] == "http" and scope["path"] not in UNMEASURED_PATHS:
                    method = scope["method"] if scope["method"] in HTTP_METHODS else "other"
                    self._metrics.record_http_request(_find_route_template(scope), method, status, monotonic() - began)

    def _complete_headers(self, message: Message, request_id: str) -> list[tuple[bytes, bytes]]:
        """Return the headers of a response, completed by the default headers that it does not have."""
        own = list(message.get("headers", ()))
        names = {name for name, _ in own}
        if names.isdisjoint(self._default_names):
            own += self._default_headers
        else:
            own += [header for header in self._default_headers if header[0] not in names]
        own.append((b"x-request-id", request_id.encode()))
        if self._shutdown.begun.is_set() and message["type"] == "http.response.start":
            own.append((b"connection", b"close"))
        return own


def create_web_app(
    name: str,
    *,
    lifespan: Lifespan,
    probes: Mapping[str, Probe],
    optional_probes: Mapping[str, Probe] = MappingProxyType({}),
    metrics: Metrics | None = None,
    dependencies: Mapping[str, Probe] | None = None,
    shutdown: Shutdown | None = None,
    middleware: Sequence[Middleware] = (),
    https: bool = False,
    **fastapi: Any,
) -> FastAPI:
    """Return a FastAPI application with ``/healthz`` and ``/readyz`` that renders every error as a problem.

    Args:
        name: name of the service.
        lifespan: opens and closes what the service needs.
        probes: readiness checks by name; each raises on failure. The message of ``NotReady`` is shown.
        optional_probes: checks whose failure is shown but leaves the service ready: some requests still work.
        metrics: records requests and whether dependencies are available.
        dependencies: checks by dependency for the metric of dependencies, run every ``CHECK_DEPENDENCIES_S`` seconds.
        shutdown: once it has begun, the service is not ready.
        middleware: further middleware in the order that a request passes it, outermost first.
        https: all clients use TLS.
        fastapi: further arguments of ``FastAPI``.
    """
    every_probe = {**probes, **optional_probes}
    metrics, shutdown = metrics or Metrics(name), shutdown or Shutdown()
    outermost = Middleware(RequestBoundaryMiddleware, metrics=metrics, shutdown=shutdown, https=https)
    layers = [outermost, Middleware(AccessLog), *middleware]
    monitor = EventLoopMonitor(every_s=DEBUG_INTERVAL_S if log.is_enabled_for(logging.DEBUG) else INTERVAL_S)

    async def check_dependencies() -> None:
        for dependency, probe in (dependencies or {}).items():
            metrics.record_dependency(dependency, is_up=await _run_probe(probe) is None)

    dependency_loop = Loop(f"{metrics.service}.check_dependencies", check_dependencies, every_s=CHECK_DEPENDENCIES_S)

    @asynccontextmanager
    async def run_with_monitor(app: FastAPI) -> AsyncIterator[None]:
        async with lifespan(app):
            dependency_loop.start(metrics)
            try:
                with monitor.measure():
                    yield
            finally:
                await dependency_loop.stop()

    app = FastAPI(
        title=name,
        lifespan=run_with_monitor,
        middleware=layers,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # otherwise each request looks up a provider
        **fastapi,
    )
    app.add_exception_handler(Refusal, _on_refusal)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    for error_type in UNAVAILABLE_ERRORS:
        app.add_exception_handler(error_type, _on_unavailable)

    @app.get("/healthz", tags=["health"], summary="Whether the process is alive")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", tags=["health"], summary="Whether the service is ready", responses={503: {}})
    async def readyz(response: Response) -> dict[str, Any]:
        failures = dict(zip(every_probe, await asyncio.gather(*map(_run_probe, every_probe.values())), strict=True))
        checks = {name: failure is None for name, failure in failures.items()}
        ready = all(checks[name] for name in probes) and not shutdown.begun.is_set()
        response.status_code = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        status = ("ready" if all(checks.values()) else "degraded") if ready else "not ready"
        reasons = {name: failure for name, failure in failures.items() if failure}
        event_loop = {"longest_ms": round(monitor.longest_s * 1000, 1), "stalls": monitor.stalls}
        if shutdown.begun.is_set():
            status = "stopping"
        return {"status": status, "checks": checks, "reasons": reasons, "event_loop": event_loop}

    return app


def build_problem_body(details: RefusalDetails, request_id: str, instance: str | None = None) -> dict[str, Any]:
    """Return the body of a refusal (RFC 9457), extended by ``code``, ``request_id`` and ``errors``."""
    status = HTTP_STATUS[details.kind]
    body: dict[str, Any] = {
        "type": f"urn:comfyfleet:error:{details.code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": details.message,
        "code": details.code,
        "request_id": request_id,
    }
    if instance:
        body["instance"] = instance
    if details.errors:
        body["errors"] = [error.model_dump(mode="json", exclude_none=True) for error in details.errors]
    return body


def build_problem_response(request: Request, details: RefusalDetails) -> ProblemResponse:
    """Return the response to a refused request, with the headers of its status."""
    headers = {}
    if details.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(details.retry_after_s)))
    if details.kind is ErrorKind.UNAUTHENTICATED:
        headers["WWW-Authenticate"] = 'Bearer realm="comfyfleet"'
    body = build_problem_body(details, request.state.request_id, _build_instance(request))
    return ProblemResponse(body, status_code=body["status"], headers=headers)


def build_http_problem(request: Request, error: HTTPException) -> ProblemResponse:
    """Return the response to an HTTP error such as 404 or 405."""
    phrase = HTTPStatus(error.status_code).phrase
    body = {
        "type": "about:blank",
        "title": phrase,
        "status": error.status_code,
        "detail": str(error.detail),
        "code": "http." + phrase.lower().replace(" ", "_"),
        "instance": _build_instance(request),
        "request_id": request.state.request_id,
    }
    return ProblemResponse(body, status_code=error.status_code, headers=error.headers)


def _read_request_id(scope: Scope) -> str:
    """Return the client's request id if it is valid, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            return choose_request_id(value.decode("latin-1"))
    return new_id().hex


def _find_route_template(scope: Scope) -> str:
    """Return the path template of the route that answered."""
    route = scope.get("route")
    return route.path_format if isinstance(route, Route) else UNROUTED


def _build_instance(request: Request) -> str:
    """Return the path as a URI reference. ``request.url`` is not used because it contains the Host header."""
    return quote(request.scope["path"][:MAX_TEXT])


async def _run_probe(probe: Probe) -> str | None:
    """Return None if the probe passes, else why it failed; empty if the reason must not be shown."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            await probe()
    except NotReady as reason:
        return str(reason)
    except Exception:  # noqa: BLE001 - whatever it raises, it did not pass
        return ""
    return None


async def _on_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)  # noqa: S101 - registered for it
    return build_problem_response(request, error.details)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    if error.status_code == HTTPStatus.NOT_FOUND:
        error.detail = "There is nothing at this path. See /docs for all paths."
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = ", ".join(filter(lambda method: _is_routed(request, method), HTTP_METHODS))
        error.headers = {"Allow": allowed}
        error.detail = f"This path does not have this method. Use one of: {allowed}."
    return build_http_problem(request, error)


def _is_routed(request: Request, method: str) -> bool:
    """Whether any route accepts this method; the router only knows those of the first matching route."""
    routes, path = request.app.router.routes, request.scope["path"]
    scope = {"type": "http", "path": path, "root_path": "", "method": method, "headers": []}
    # otherwise a path parameter also matches this path
    own = [route for route in routes if getattr(route, "path", None) == path]
    return any(route.matches(dict(scope))[0] is Match.FULL for route in own or routes)


async def _on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it
    errors = tuple(
        FieldError(
            pointer="".join(f"/{part}" for part in item["loc"][1:])[:MAX_TEXT],
            code=item["type"],
            message=build_field_message(item),
        )
        for item in error.errors()[:MAX_ERRORS]
    )
    message = 'The request has invalid or missing fields. See the field "errors" for each one and what is valid.'
    return build_problem_response(
        request, RefusalDetails(code="request.invalid", kind=ErrorKind.INVALID, message=message, errors=errors)
    )


async def _on_disconnect(_request: Request, _error: Exception) -> Response:
    return Response(status_code=HTTPStatus.BAD_REQUEST)  # not read


async def _on_unavailable(request: Request, error: Exception) -> Response:
    if not is_unavailable(error):
        raise error
    log.warning("web.dependency_unavailable", path=request.scope["path"], error=type(error).__name__)
    return build_problem_response(request, Unavailable(service=request.app.title, retry_after_s=1).details)
