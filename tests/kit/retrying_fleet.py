"""A running system for tests that may share a busy machine.

The gateway refuses a request with 503 if another service does not reply within one to two seconds. A pause of a process
can take longer, so the clients of this fleet repeat such requests, as the client library does.
"""

import asyncio
import time
from typing import Any
from uuid import uuid4

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from tests.kit.fleet import Fleet
from tests.kit.http import NO_CERTIFICATES, http_client

RETRY_WITHIN_S = 30.0
RETRY_PAUSE_S = 0.1
UNAVAILABLE = 503
SUBMISSIONS = "/api/v1/jobs", "/api/v1/jobs/batch"


class RetryingTransport(httpx.AsyncHTTPTransport):
    """Repeats requests that are refused with 503.

    A refused submission may have been accepted, so each gets an idempotency key unless ``with_keys`` is false.

    Attributes:
        repeated: how many requests were sent again.
    """

    def __init__(self, *, with_keys: bool = True) -> None:
        super().__init__(verify=NO_CERTIFICATES, trust_env=False)
        self._with_keys = with_keys
        self.repeated = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._with_keys and request.method == "POST" and request.url.path in SUBMISSIONS:
            request.headers.setdefault("Idempotency-Key", str(uuid4()))
        deadline = time.monotonic() + RETRY_WITHIN_S
        while True:
            response = await super().handle_async_request(request)
            if response.status_code != UNAVAILABLE or time.monotonic() > deadline:
                return response
            await response.aclose()
            await asyncio.sleep(RETRY_PAUSE_S)
            self.repeated += 1


class RetryingConnect(connect):
    """Opens a WebSocket, again while it is refused with 503."""

    async def __aenter__(self) -> ClientConnection:
        deadline = time.monotonic() + RETRY_WITHIN_S
        while True:
            try:
                return await super().__aenter__()
            except InvalidStatus as refused:
                if refused.response.status_code != UNAVAILABLE or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(RETRY_PAUSE_S)


class RetryingFleet(Fleet):
    """A running system whose clients repeat requests that are refused with 503."""

    websocket = RetryingConnect

    @classmethod
    def wrap(cls, fleet: Fleet) -> "RetryingFleet":
        """Return the same system with clients that repeat requests."""
        return cls(fleet.state, fleet.credentials, fleet.process)

    def client(self, key: str | None = None, **options: Any) -> httpx.AsyncClient:
        return super().client(key, **{"transport": RetryingTransport()} | options)


def origin_client(fleet: Fleet, **options: Any) -> httpx.AsyncClient:
    """Return a client for all paths of the origin. It repeats requests; its errors need not be declared."""
    return http_client(base_url=fleet.base_url, timeout=20, transport=RetryingTransport(), **options)


def client_without_retries(fleet: Fleet, key: str | None = None) -> httpx.AsyncClient:
    """Return a client that repeats no request."""
    return Fleet.client(fleet, key)
