"""Invalidates cached limits when a tier or a user changes.

A missed event is corrected within 30 s, when the cache expires.
"""

from collections.abc import Callable
from uuid import UUID

from chassis.loop import Loop
from chassis.messaging.bus import Bus, Unsubscribe
from chassis.messaging.metadata import Metadata
from contracts.auth.changes import USER_CHANGED, UserChanged
from contracts.auth.tiers import TIER_CHANGED, TierLimits

EVERY_S = 3600.0  # once it has subscribed there is nothing left to do


def create_limit_change_loop(
    bus: Bus, *, tier_changed: Callable[[], None], user_changed: Callable[[UUID], None]
) -> Loop:
    """Return the loop that subscribes to the events of auth."""
    subscriptions: list[Unsubscribe] = []

    async def on_tier(_: TierLimits, __: Metadata) -> None:
        tier_changed()

    async def on_user(user: UserChanged, _: Metadata) -> None:
        user_changed(user.user_id)

    async def begin() -> None:
        if not subscriptions:
            subscriptions.append(await bus.subscribe(TIER_CHANGED, on_tier))
            subscriptions.append(await bus.subscribe(USER_CHANGED, on_user))

    return Loop("gateway.hear_limits", begin, every_s=EVERY_S)
