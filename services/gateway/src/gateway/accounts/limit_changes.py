"""Invalidates cached limits when a tier or a user changes.

A missed event is corrected within 30 s, when the cache expires.
"""

from collections.abc import Awaitable, Callable
from uuid import UUID

from chassis.loop import Loop
from chassis.messaging.bus import Bus, Unsubscribe
from chassis.messaging.metadata import Metadata
from contracts.auth.changes import USER_CHANGED, UserChanged
from contracts.auth.tiers import TIER_CHANGED, TierLimits

EVERY_S = 3600.0  # after the first success there is nothing left to do; failures are retried sooner


def create_limit_change_loop(
    bus: Bus, *, on_tier_changed: Callable[[], None], on_user_changed: Callable[[UUID], None]
) -> Loop:
    """Return the loop that subscribes to the events of auth."""
    subscriptions: list[Unsubscribe] = []

    async def handle_tier(_: TierLimits, __: Metadata) -> None:
        on_tier_changed()

    async def handle_user(user: UserChanged, _: Metadata) -> None:
        on_user_changed(user.user_id)

    subscribers: tuple[Callable[[], Awaitable[Unsubscribe]], ...] = (
        lambda: bus.subscribe(TIER_CHANGED, handle_tier),
        lambda: bus.subscribe(USER_CHANGED, handle_user),
    )

    async def subscribe_once() -> None:
        while len(subscriptions) < len(subscribers):  # each may fail
            subscriptions.append(await subscribers[len(subscriptions)]())

    return Loop("gateway.subscribe_limit_changes", subscribe_once, every_s=EVERY_S)
