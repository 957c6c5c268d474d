"""Invalidates cached limits when a tier or a user changes.

A missed event is corrected within 30 s, when the cache expires.
"""

from collections.abc import Callable
from uuid import UUID

from chassis.loop import Loop
from chassis.messaging.bus import Bus
from chassis.messaging.metadata import Metadata
from chassis.messaging.subscription_loop import create_subscription_loop
from contracts.auth.changes import USER_CHANGED, UserChanged
from contracts.auth.tiers import TIER_CHANGED, TierLimits


def create_limit_change_loop(
    bus: Bus, *, on_tier_changed: Callable[[], None], on_user_changed: Callable[[UUID], None]
) -> Loop:
    """Return the loop that subscribes to the events of auth."""

    async def handle_tier(_: TierLimits, __: Metadata) -> None:
        on_tier_changed()

    async def handle_user(user: UserChanged, _: Metadata) -> None:
        on_user_changed(user.user_id)

    return create_subscription_loop(
        "gateway.subscribe_limit_changes",
        (lambda: bus.subscribe(TIER_CHANGED, handle_tier), lambda: bus.subscribe(USER_CHANGED, handle_user)),
    )
