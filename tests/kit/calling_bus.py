"""Message buses with long timeouts, and retries while a service is unavailable."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from pydantic import BaseModel

from chassis.messaging.bus import Bus, Subscriber, Unsubscribe
from contracts.permissions import inbox_prefix
from contracts.wire.errors import ErrorKind, Refusal, Unavailable
from contracts.wire.topic import Rpc, Topic
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


class UnreliableBus(Bus):
    """Every second subscription fails, as if the connection were lost at that moment.

    Attributes:
        topics: topics of the successful subscriptions.
    """

    def __init__(self, url: str, *, name: str) -> None:
        super().__init__(url, name=name, user=None, password=None, inbox_prefix=inbox_prefix(name))
        self._attempts = 0
        self.topics: list[Topic[Any]] = []

    async def subscribe(self, topic: Topic[P], subscriber: Subscriber[P], **options: Any) -> Unsubscribe:
        self._attempts += 1
        if self._attempts % 2 == 0:
            raise Unavailable(service=topic.owner, retry_after_s=1)
        unsubscribe = await super().subscribe(topic, subscriber, **options)
        self.topics.append(topic)
        return unsubscribe


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
