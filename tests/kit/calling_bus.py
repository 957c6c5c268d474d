"""Message buses with long timeouts, and retries while a service is unavailable."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from pydantic import BaseModel

from chassis.messaging.bus import Bus
from contracts.wire.errors import ErrorKind, Refusal
from contracts.wire.topic import Rpc
from tests.kit.waiting import repeat_until

P = TypeVar("P", bound=BaseModel)
R = TypeVar("R", bound=BaseModel)
T = TypeVar("T")

REPLY_WITHIN_S = 20.0
"""The timeouts of topics are for clients that try again. A loaded machine exceeds them."""


class CallingBus(Bus):
    """Waits ``REPLY_WITHIN_S`` for a reply unless the caller sets a timeout."""

    async def request(self, topic: Rpc[P, R], payload: P, **options: Any) -> R:
        timeout_s = options.pop("within_s", None) or REPLY_WITHIN_S
        return await super().request(topic, payload, within_s=timeout_s, **options)


class LongTimeoutBus(Bus):
    """Waits at least ``REPLY_WITHIN_S`` for a reply, even if the code under test sets a shorter timeout."""

    async def request(self, topic: Rpc[P, R], payload: P, **options: Any) -> R:
        timeout_s = max(options.pop("within_s", None) or topic.timeout_s, REPLY_WITHIN_S)
        return await super().request(topic, payload, within_s=timeout_s, **options)


async def until_available(request: Callable[[], Awaitable[T]]) -> T:
    """Send an idempotent request of a test's set-up or cleanup; repeat it while the service is unavailable."""

    async def try_request() -> list[T]:
        try:
            return [await request()]
        except Refusal as refusal:
            if refusal.details.kind is not ErrorKind.UNAVAILABLE:
                raise
        return []

    (reply,) = await repeat_until(bool, try_request)
    return reply
