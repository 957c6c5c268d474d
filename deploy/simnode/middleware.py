"""Middleware of every request: origin check, OPTIONS, and a delay that a test can request."""

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable
from typing import TypeAlias
from urllib.parse import urlsplit

from aiohttp import web

from simnode.routes.registry import get_parts

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def counting(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count every request in the ledger, whatever its result."""
    resource = request.match_info.route.resource
    if resource is not None:
        get_parts(request).ledger.requests[f"{request.method} {resource.canonical}"] += 1
    return await handler(request)


@web.middleware
async def slowness(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Delay responses while ``slow_http`` is armed, except those of ``/simnode/*``."""
    if not request.path.startswith("/simnode"):
        late = get_parts(request).faults.fire("slow_http")
        if late is not None:
            await asyncio.sleep(float(late["seconds"]))
    return await handler(request)


@web.middleware
async def refuse_other_origins(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse cross-site requests of browsers (403, empty). Requests without ``Origin`` are allowed."""
    is_new = get_parts(request).settings.is_new
    if is_new and request.headers.get("Sec-Fetch-Site") == "cross-site":
        return web.Response(status=403)
    if not _path_matches(request.headers.get("Host", ""), request.headers.get("Origin", "")):
        return web.Response(status=403)
    if request.method == "OPTIONS":
        return web.Response()
    return await handler(request)


def _path_matches(host: str, origin: str) -> bool:
    """Whether a page's origin is allowed. Only checked for loopback hosts; ports only count if both sides have one."""
    if not host or not origin:
        return True
    ours, theirs = urlsplit(f"//{host}"), urlsplit(origin)
    if not _is_loopback(ours.hostname):
        return True
    if ours.hostname != theirs.hostname:
        return False
    return ours.port is None or theirs.port is None or ours.port == theirs.port


def _is_loopback(name: str | None) -> bool:
    if name is None or name == "localhost":
        return name is not None
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
