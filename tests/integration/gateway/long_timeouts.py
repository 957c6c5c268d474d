"""A gateway and HTTP clients whose timeouts a busy machine does not exceed."""

from typing import Any

import httpx
from fastapi import FastAPI

from chassis.shutdown import Shutdown
from gateway.app import create_app
from gateway.settings import Settings
from gateway.timeouts import Timeouts
from tests.kit.calling_bus import LongTimeoutBus
from tests.kit.http import http_client

TIMEOUT_S = 20.0
HTTP_TIMEOUT_S = 60.0
CONVERSIONS = {"picture_within_s": 60, "upload_within_s": 60}
"""Settings: each conversion starts a process."""


def create_app_with_long_timeouts(settings: Settings, shutdown: Shutdown | None = None) -> FastAPI:
    """Return a gateway that waits long for the other services and for its database."""
    timeouts = Timeouts(connect_s=TIMEOUT_S, fetch_tokens_s=TIMEOUT_S)
    return create_app(settings, shutdown=shutdown, timeouts=timeouts, bus_type=LongTimeoutBus)


def client_with_long_timeout(at: str, **options: Any) -> httpx.AsyncClient:
    """Return an HTTP client of the gateway at this host and port."""
    return http_client(base_url=f"http://{at}", timeout=HTTP_TIMEOUT_S, **options)
