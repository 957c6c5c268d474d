"""A WebSocket client for tests that may share a busy machine."""

import asyncio
import json
import time
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from contracts.wire.errors import Unavailable
from tests.kit.waiting import WITHIN_S

RETRY_PAUSE_S = 0.1


class RetryingConnect(connect):
    """Opens a WebSocket; retries while the server refuses it because another service does not reply.

    It retries only as a context manager. Use ``retry=False`` in a test that expects the refusal.
    """

    def __init__(self, url: str, *, retry: bool = True, **options: Any) -> None:
        super().__init__(url, **options)
        self._retry = retry

    async def __aenter__(self) -> ClientConnection:
        deadline = time.monotonic() + WITHIN_S
        while True:
            try:
                return await super().__aenter__()
            except InvalidStatus as refused:
                if not self._retry or not is_unavailable(refused) or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(RETRY_PAUSE_S)


def is_unavailable(refused: InvalidStatus) -> bool:
    """Return whether the server refused a handshake because another service did not reply.

    Raises:
        AssertionError: the response does not say when to try again.
    """
    response = refused.response
    if response.status_code != 503 or json.loads(response.body or b"{}").get("code") != Unavailable.code:
        return False
    assert int(response.headers.get("Retry-After", 0)) > 0, response
    return True
