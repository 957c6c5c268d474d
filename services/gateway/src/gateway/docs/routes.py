"""Public documentation pages: the OpenAPI document in a viewer, and the AsyncAPI document.

The viewer is served from a Python package, so the page loads nothing from other hosts.
"""

import base64
import hashlib
import json
import re
from functools import cache
from importlib.resources import files

from fastapi import APIRouter, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

from gateway.api.v1.problems import declare_public_problems
from gateway.edge.errors import NoSuchPath
from gateway.surfaces.nats.asyncapi import build_nats_api_document

ASSETS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon.png": "image/png"}
_CACHE_HEADERS = {"Cache-Control": "public, max-age=86400"}
_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


def create_router(*, title: str, openapi_path: str) -> APIRouter:
    """Return the routes of the pages.

    Args:
        title: title of the page.
        openapi_path: path of the OpenAPI document.
    """
    routes = APIRouter(include_in_schema=False)
    script, style, icon = (f"/docs/{name}" for name in ASSETS)
    page = bytes(
        get_swagger_ui_html(
            openapi_url=openapi_path,
            title=title,
            swagger_js_url=script,
            swagger_css_url=style,
            swagger_favicon_url=icon,
        ).body
    )
    policy = _build_content_security_policy(page)
    viewer = files("fastapi_offline") / "static"
    assets = {name: (viewer / name).read_bytes() for name in ASSETS}
    nats_api = _render_nats_api(title)

    @routes.get("/docs")
    async def show_openapi() -> HTMLResponse:
        return HTMLResponse(page, headers={"Content-Security-Policy": policy})

    @routes.get("/docs/{asset}", responses=declare_public_problems(NoSuchPath))
    async def read_asset(asset: str) -> Response:
        if asset not in assets:
            raise NoSuchPath
        return Response(assets[asset], media_type=ASSETS[asset], headers=_CACHE_HEADERS)

    @routes.get("/asyncapi")
    async def read_asyncapi() -> Response:
        return Response(nats_api, media_type="application/json")

    return routes


@cache
def _render_nats_api(title: str) -> bytes:
    return json.dumps(build_nats_api_document(title)).encode()


def _build_content_security_policy(page: bytes) -> str:
    """Return a content security policy that permits only the viewer and the page's own script, and only this origin."""
    hashes = [base64.b64encode(hashlib.sha256(script).digest()).decode() for script in _SCRIPT.findall(page)]
    scripts = " ".join(f"'sha256-{found}'" for found in hashes)
    return (
        f"default-src 'none'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'"
    )
