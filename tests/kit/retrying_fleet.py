"""A running system for tests that may share a busy machine.

The gateway refuses a request with ``service.unavailable`` if another service does not reply within one to two seconds.
A pause of a process can take longer, so the clients of this fleet repeat such requests, as the client library does.
They check the response that they discard, and ``few_requests_repeated`` limits how many requests may be repeated.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import uuid4

import httpx

from contracts.wire.errors import Unavailable
from tests.kit.fleet import Fleet
from tests.kit.gateway_document import accepts_idempotency_key, check_response
from tests.kit.http import NO_CERTIFICATES, http_client
from tests.kit.retrying_connect import RetryingConnect

RETRY_WITHIN_S = 30.0
RETRY_PAUSE_S = 0.1
UNAVAILABLE = 503
REPETITIONS = "repetitions"  # extension of a response: how often its request was sent again
MAX_REPEATED_SHARE = 0.05
MIN_REPEATED = 40


@dataclass
class Counts:
    """Counts all requests and those that were retried."""

    sent: int = 0
    repeated: int = 0


class RetryingTransport(httpx.AsyncHTTPTransport):
    """Repeats requests that are refused because another service does not reply.

    A refused request may have been executed, so each that accepts an idempotency key gets one unless ``with_keys`` is
    false.

    Attributes:
        counts: of all transports.
        repeated: how many requests were sent again, counting every repetition.
    """

    counts: ClassVar[Counts] = Counts()

    def __init__(self, *, with_keys: bool = True, only_declared_errors: bool = True) -> None:
        super().__init__(verify=NO_CERTIFICATES, trust_env=False)
        self._with_keys, self._only_declared_errors = with_keys, only_declared_errors
        self.repeated = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._with_keys and accepts_idempotency_key(request):
            request.headers.setdefault("Idempotency-Key", str(uuid4()))
        self.counts.sent += 1
        deadline = time.monotonic() + RETRY_WITHIN_S
        repetitions = 0
        while True:
            response = await super().handle_async_request(request)
            response.extensions[REPETITIONS] = repetitions
            if not await _is_unavailable(request, response) or time.monotonic() > deadline:
                return response
            assert int(response.headers.get("Retry-After", 0)) > 0, response.headers
            if self._only_declared_errors:
                await check_response(response)
            await asyncio.sleep(RETRY_PAUSE_S)
            self.counts.repeated += repetitions == 0
            self.repeated += 1
            repetitions += 1


class RetryingFleet(Fleet):
    """A running system whose clients repeat requests that are refused because another service does not reply."""

    connect_class = RetryingConnect

    @classmethod
    def wrap(cls, fleet: Fleet) -> "RetryingFleet":
        """Return the same system with clients that repeat requests."""
        return cls(fleet.state, fleet.credentials, fleet.process)

    def client(self, key: str | None = None, **options: Any) -> httpx.AsyncClient:
        return super().client(key, **{"transport": RetryingTransport()} | options)


@contextmanager
def few_requests_repeated() -> Iterator[None]:
    """Fail at the end of the block if many requests in it were repeated, by all clients of this process.

    Paused processes cause at most a few per cent. More mean that the system refuses requests without need: for example
    because of locks, which the code of the refusal does not tell. A short block may repeat ``MIN_REPEATED`` requests:
    one pause can affect all that are sent at once.
    """
    before = Counts(**vars(RetryingTransport.counts))
    yield
    sent = RetryingTransport.counts.sent - before.sent
    repeated = RetryingTransport.counts.repeated - before.repeated
    assert repeated <= max(MIN_REPEATED, MAX_REPEATED_SHARE * sent), f"{repeated} of {sent} requests were repeated"


def was_repeated(response: httpx.Response) -> bool:
    """Return whether the request was sent more than once, so that an earlier one may have been executed."""
    return bool(response.extensions.get(REPETITIONS))


def assert_registered(response: httpx.Response) -> None:
    """Assert that a registration, or an earlier try of it, created the account."""
    assert response.status_code == 201 or (response.status_code == 409 and was_repeated(response)), response.text


def origin_client(fleet: Fleet, **options: Any) -> httpx.AsyncClient:
    """Return a client for all paths of the origin. It repeats requests; its errors need not be declared."""
    transport = RetryingTransport(only_declared_errors=False)
    return http_client(base_url=fleet.base_url, timeout=20, transport=transport, **options)


def client_without_retries(fleet: Fleet, key: str | None = None) -> httpx.AsyncClient:
    """Return a client that repeats no request."""
    return Fleet.client(fleet, key)


async def _is_unavailable(request: httpx.Request, response: httpx.Response) -> bool:
    """Return whether another service did not reply. Responses to HEAD have no code, so any 503 counts."""
    if response.status_code != UNAVAILABLE:
        return False
    response.request = request  # otherwise set by the client
    await response.aread()
    return request.method == "HEAD" or response.json().get("code") == Unavailable.code
