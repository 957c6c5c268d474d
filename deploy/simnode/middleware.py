"""Middleware of every request: origin check, OPTIONS, and a delay that a test can request."""

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable
from typing import TypeAlias
from urllib.parse import urlsplit

from aiohttp import web

from simnode.routes.registry import get_components

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def count_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count every request in the ledger, whatever its result."""
    resource = request.match_info.route.resource
    if resource is not None:
        get_components(request).ledger.requests[f"{request.method} {resource.canonical}"] += 1
    return await handler(request)


@web.middleware
async def delay_responses(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Delay responses while ``slow_http`` is armed, except those of ``/simnode/*``."""
    if not request.path.startswith("/simnode"):
        fault = get_components(request).faults.trigger("slow_http")
        if fault is not None:
            await asyncio.sleep(float(fault["seconds"]))
    return await handler(request)


@web.middleware
async def refuse_other_origins(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse cross-site requests of browsers (403, empty). Requests without ``Origin`` are allowed."""
    is_0_33 = get_components(request).settings.is_0_33
    if is_0_33 and request.headers.get("Sec-Fetch-Site") == "cross-site":
        return web.Response(status=403)
    if not _is_allowed_origin(request.headers.get("Host", ""), request.headers.get("Origin", "")):
        return web.Response(status=403)
    if request.method == "OPTIONS":
        return web.Response()
    return await handler(request)


def _is_allowed_origin(host: str, origin: str) -> bool:
    """Whether a page's origin is allowed. Only checked for loopback hosts; ports are compared only if both have one."""
    if not host or not origin:
        return True
    host_url, origin_url = urlsplit(f"//{host}"), urlsplit(origin)
    if not _is_loopback(host_url.hostname):
        return True
    if host_url.hostname != origin_url.hostname:
        return False
    return host_url.port is None or origin_url.port is None or host_url.port == origin_url.port


def _is_loopback(name: str | None) -> bool:
    if name is None or name == "localhost":
        return name is not None
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
