"""Subscribes to several topics, and retries subscriptions that fail."""

from collections.abc import Awaitable, Callable, Sequence

from chassis.loop import Loop
from chassis.messaging.bus import Unsubscribe

EVERY_S = 3600.0  # once all are made there is nothing left to do; failures are retried sooner


def create_subscription_loop(name: str, subscribe: Sequence[Callable[[], Awaitable[Unsubscribe]]]) -> Loop:
    """Return a loop that makes each subscription once. After a failure it continues with the one that failed."""
    made: list[Unsubscribe] = []

    async def subscribe_missing() -> None:
        while len(made) < len(subscribe):
            made.append(await subscribe[len(made)]())

    return Loop(name, subscribe_missing, every_s=EVERY_S)
