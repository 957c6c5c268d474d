"""The gateway's routes and OpenAPI document, and checks of requests and errors against them."""

from functools import cache
from pathlib import Path

import httpx
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Match

from gateway.api.v1.problems import PROBLEM_JSON
from gateway.app import create_app
from gateway.settings import Settings
from tests.kit.declared_errors import is_declared


@cache
def gateway_app() -> FastAPI:
    """The gateway's application, for its routes and its document; it connects to nothing."""
    settings = {
        "database_url": "postgresql+asyncpg://nobody@127.0.0.1:1/none", "nats_url": "nats://127.0.0.1:1",
        "secret_key": "0123456789abcdef0123456789abcdef", "artifacts_url": Path("/tmp").as_uri(), "docs_public": True,
    }  # fmt: skip
    return create_app(Settings.model_validate(settings))


async def check_response(response: httpx.Response) -> None:
    """Fail the test if a response is an undeclared error of the gateway. A response hook of httpx.

    Raises:
        AssertionError: the route that answers the request does not declare the code.
    """
    if response.headers.get("content-type") != PROBLEM_JSON:
        return
    await response.aread()
    route = find_route(response.request)
    if not response.content or route is None:  # a response to HEAD has no body
        return
    code = response.json()["code"]
    assert is_declared(route, code), f"{code} is not declared by {response.request.method} {route.path}"


def accepts_idempotency_key(request: httpx.Request) -> bool:
    """Return whether the request's route accepts the header Idempotency-Key."""
    route = find_route(request)
    parameters = ((route and route.openapi_extra) or {}).get("parameters", [])
    return any(parameter["name"] == "Idempotency-Key" for parameter in parameters)


def find_route(request: httpx.Request) -> APIRoute | None:
    """Return the gateway's route that answers the request."""
    scope = {"type": "http", "path": request.url.path, "root_path": "", "method": request.method}
    for route in gateway_app().router.routes:
        if isinstance(route, APIRoute) and route.matches(scope)[0] is Match.FULL:
            return route
    return None
