"""The page that shows the OpenAPI document, where it is public."""

import base64
import hashlib
import re

from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

_VIEWER = "https://cdn.jsdelivr.net"
_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


def router(*, title: str, document: str) -> APIRouter:
    """The route of the page.

    Args:
        title: of the page.
        document: path of the OpenAPI document.
    """
    routes = APIRouter(include_in_schema=False)
    page = bytes(get_swagger_ui_html(openapi_url=document, title=title).body)
    policy = _policy(page)

    @routes.get("/docs")
    async def docs() -> HTMLResponse:
        return HTMLResponse(page, headers={"Content-Security-Policy": policy})

    return routes


def _policy(page: bytes) -> str:
    """Only the viewer and the page's own scripts run, and they talk to us alone."""
    hashes = [base64.b64encode(hashlib.sha256(script).digest()).decode() for script in _SCRIPT.findall(page)]
    scripts = " ".join(f"'sha256-{found}'" for found in hashes)
    return (
        f"default-src 'none'; script-src {_VIEWER} {scripts}; style-src {_VIEWER} 'unsafe-inline'; "
        "img-src data: https://fastapi.tiangolo.com; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'"
    )
