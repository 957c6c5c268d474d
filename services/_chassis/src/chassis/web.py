"""The HTTP face of a service: health, readiness, problem+json (RFC 9457), request ids."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis.ids import new_id
from chassis.logs import bound, log
from chassis.postgres import AWAY, is_away
from contracts.wire.errors import STATUS, FieldError, Kind, Refusal, Refused, Unavailable

Probe = Callable[[], Awaitable[None]]
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]

PROBE_S = 1.0


class ProblemResponse(JSONResponse):
    """An error body as RFC 9457 has it."""

    media_type = "application/problem+json"


class RequestIds:
    """Gives every request an id: in the log, in the answer's ``X-Request-Id``, in every problem."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or websocket."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        request_id = new_id().hex

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        scope.setdefault("state", {})["request_id"] = request_id
        with bound(request_id=request_id):
            await self._app(scope, receive, send_with_id)


def create_web(name: str, *, lifespan: Lifespan, probes: Mapping[str, Probe], **fastapi: Any) -> FastAPI:
    """A FastAPI application that answers ``/healthz`` and ``/readyz`` and turns every error into a problem.

    Args:
        name: of the service.
        lifespan: opens what the service needs and closes it again.
        probes: what must work for the service to be of use, by name; each returns or raises.
        fastapi: passed on to FastAPI.
    """
    app = FastAPI(title=name, lifespan=lifespan, **fastapi)
    app.add_middleware(RequestIds)
    app.add_exception_handler(Refusal, _on_refusal)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(Exception, _on_bug)
    for away in (*AWAY, DBAPIError):
        app.add_exception_handler(away, _on_away)

    @app.get("/healthz", tags=["health"], summary="The process lives")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", tags=["health"], summary="The service can do its work", responses={503: {}})
    async def readyz(response: Response) -> dict[str, Any]:
        checks = dict(zip(probes, await asyncio.gather(*map(_passes, probes.values())), strict=True))
        ready = all(checks.values())
        response.status_code = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
        return {"status": "ready" if ready else "not ready", "checks": checks}

    return app


def problem(refused: Refused, request_id: str, instance: str | None = None) -> dict[str, Any]:
    """The body of a refusal (RFC 9457), extended by ``code``, ``request_id`` and ``errors``."""
    status = STATUS[refused.kind]
    body: dict[str, Any] = {
        "type": f"urn:comfyfleet:error:{refused.code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": refused.message,
        "code": refused.code,
        "request_id": request_id,
    }
    if instance:
        body["instance"] = instance
    if refused.errors:
        body["errors"] = [error.model_dump(mode="json", exclude_none=True) for error in refused.errors]
    return body


def problem_response(request: Request, refused: Refused) -> ProblemResponse:
    """The answer to a refused request, with the headers that its status asks for."""
    headers = {}
    if refused.retry_after_s is not None or refused.kind is Kind.UNAVAILABLE:
        headers["Retry-After"] = str(max(1, round(refused.retry_after_s or 1)))
    if refused.kind is Kind.UNAUTHENTICATED:
        headers["WWW-Authenticate"] = 'Bearer realm="comfyfleet"'
    body = problem(refused, request.state.request_id, request.url.path)
    return ProblemResponse(body, status_code=body["status"], headers=headers)


async def _passes(probe: Probe) -> bool:
    try:
        async with asyncio.timeout(PROBE_S):
            await probe()
    except Exception:  # noqa: BLE001 - whatever it raises, it did not pass
        return False
    return True


async def _on_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)  # noqa: S101 - registered for it
    return problem_response(request, error.refused)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for it
    phrase = HTTPStatus(error.status_code).phrase
    body = {
        "type": "about:blank",
        "title": phrase,
        "status": error.status_code,
        "detail": str(error.detail),
        "code": "http." + phrase.lower().replace(" ", "_"),
        "instance": request.url.path,
        "request_id": request.state.request_id,
    }
    return ProblemResponse(body, status_code=error.status_code, headers=error.headers)


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for it
    errors = tuple(
        FieldError(pointer="".join(f"/{part}" for part in item["loc"][1:]), code=item["type"], message=item["msg"])
        for item in error.errors()
    )
    malformed = any(item["type"] == "json_invalid" for item in error.errors())
    refused = Refused(
        code="request.malformed" if malformed else "request.invalid",
        kind=Kind.INVALID,
        message="The request body is not JSON." if malformed else "The request does not have the shape asked for.",
        errors=errors,
    )
    return problem_response(request, refused)


async def _on_away(request: Request, error: Exception) -> Response:
    if not is_away(error):
        raise error
    log.warning("web.dependency_away", path=request.url.path, error=type(error).__name__)
    return problem_response(request, Unavailable(service=request.app.title, retry_after_s=1).refused)


async def _on_bug(request: Request, error: Exception) -> Response:
    log.error("web.crashed", path=request.url.path, exc_info=error)
    body = {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "detail": "This is our fault. Please report the request_id.",
        "code": "internal",
        "request_id": request.state.request_id,
    }
    return ProblemResponse(body, status_code=500)
