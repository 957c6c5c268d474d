"""Serves the web console: one page, which routes its own paths, and hashed assets."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Header, Response
from fastapi.responses import HTMLResponse

from gateway.api.v1.problems import declare_public_problems
from gateway.console.files import INDEX_FILE, ConsoleFile
from gateway.edge.errors import NoSuchPath

ASSETS_PATH = "/assets/"
"""Files of a build: their names have a digest of their content, so they never change."""
PAGE_PATHS = (
    "/", "/sign-in", "/gallery", "/jobs", "/jobs/{job_id}", "/workflows", "/workflows/{name}", "/uploads",
    "/account", "/account/{section}", "/shared/{token}", "/fleet", "/fleet/{node}", "/queue", "/trends",
    "/users", "/users/{user_id}", "/tiers", "/policy", "/dead-letters", "/audit",
)  # fmt: skip
"""Paths of the console; ``clients/console/src/routes.ts`` has the same."""
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Content security policy: only our own files run, nothing inline, nothing evaluated, no text becomes HTML."""
PAGE_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cache-Control": "no-cache",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
IMMUTABLE_CACHE_HEADERS = {"Cache-Control": "public, max-age=31536000, immutable"}
NOT_BUILT = """<!doctype html><html lang="en"><meta charset="utf-8"><title>comfyfleet</title>
<h1>comfyfleet</h1>
<p>The API works. The web console is not built: run <code>./dev console</code>, which needs npm access, and restart,
or set <code>GATEWAY_CONSOLE_DIR</code> to the folder of a built console.</p>
<p><a href="/docs">API documentation</a></p></html>
"""


AcceptEncoding = Annotated[str, Header()]


def create_router(files: Mapping[str, ConsoleFile]) -> APIRouter:
    """Return the routes; without files the page says how to build the console."""
    routes = APIRouter(include_in_schema=False)
    index = files.get(INDEX_FILE)

    async def show_page(accept_encoding: AcceptEncoding = "") -> Response:
        if index is None:
            return HTMLResponse(NOT_BUILT)
        return _build_response(index, accept_encoding, PAGE_HEADERS)

    for path in PAGE_PATHS:
        routes.add_api_route(path, show_page)

    @routes.get(ASSETS_PATH + "{name}", responses=declare_public_problems(NoSuchPath))
    async def read_asset(name: str, accept_encoding: AcceptEncoding = "") -> Response:
        if (file := files.get(ASSETS_PATH.strip("/") + "/" + name)) is None:
            raise NoSuchPath
        return _build_response(file, accept_encoding, IMMUTABLE_CACHE_HEADERS)

    return routes


def _build_response(file: ConsoleFile, accepted: str, headers: Mapping[str, str]) -> Response:
    coding, content = file.choose_encoding(accepted)
    all_headers = {**headers, "Vary": "Accept-Encoding"} | ({"Content-Encoding": coding} if coding else {})
    return Response(content, media_type=file.media_type, headers=all_headers)
