"""Message buses with long timeouts, and a retry while a service is unavailable."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from pydantic import BaseModel

from chassis.messaging.bus import Bus
from contracts.wire.errors import ErrorKind, Refusal
from contracts.wire.topic import FLEET, Rpc
from tests.kit.waiting import repeat_until

P = TypeVar("P", bound=BaseModel)
R = TypeVar("R", bound=BaseModel)
T = TypeVar("T")

REPLY_WITHIN_S = 20.0
"""The timeouts of topics are for clients that try again. A loaded machine exceeds them."""


class CallingBus(Bus):
    """Waits ``REPLY_WITHIN_S`` for a reply where the test names no timeout."""

    async def request(
        self,
        topic: Rpc[P, R],
        payload: P,
        *,
        tenant: str = FLEET,
        key: str | None = None,
        within_s: float | None = None,
        is_large: bool = False,
    ) -> R:
        return await super().request(
            topic, payload, tenant=tenant, key=key, within_s=within_s or REPLY_WITHIN_S, is_large=is_large
        )


class PatientBus(Bus):
    """Waits at least ``REPLY_WITHIN_S`` for a reply, also where the code under test names a shorter timeout."""

    async def request(
        self,
        topic: Rpc[P, R],
        payload: P,
        *,
        tenant: str = FLEET,
        key: str | None = None,
        within_s: float | None = None,
        is_large: bool = False,
    ) -> R:
        timeout_s = max(within_s or topic.timeout_s, REPLY_WITHIN_S)
        return await super().request(topic, payload, tenant=tenant, key=key, within_s=timeout_s, is_large=is_large)


async def until_available(request: Callable[[], Awaitable[T]]) -> T:
    """Send an idempotent request of a test's set-up or cleanup, again while the service is unavailable."""

    async def try_request() -> list[T]:
        try:
            return [await request()]
        except Refusal as refusal:
            if refusal.details.kind is not ErrorKind.UNAVAILABLE:
                raise
        return []

    (reply,) = await repeat_until(bool, try_request)
    return reply
