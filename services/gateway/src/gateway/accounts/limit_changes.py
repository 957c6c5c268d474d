"""Hears that a tier or a user has other limits; what is not heard is asked for within 30 s."""

from collections.abc import Awaitable, Callable
from uuid import UUID

from nats.aio.msg import Msg

from chassis.loop import Loop
from chassis.messaging.bus import Bus
from contracts.auth.changes import USER_CHANGED
from contracts.auth.tiers import TIER_CHANGED

EVERY_S = 3600.0  # once it hears there is nothing left to do


def hear_limits(bus: Bus, *, tier_changed: Callable[[], None], user_changed: Callable[[UUID], None]) -> Loop:
    """The loop that begins to hear."""
    hearing: list[Callable[[], Awaitable[None]]] = []

    async def hear_tier(_: Msg) -> None:
        tier_changed()

    async def hear_user(message: Msg) -> None:
        try:
            user_id = UUID(USER_CHANGED.address(message.subject).tenant)
        except ValueError:
            return
        user_changed(user_id)

    async def begin() -> None:
        if not hearing:
            hearing.append(await bus.subscribe(TIER_CHANGED.pattern, hear_tier))
            hearing.append(await bus.subscribe(USER_CHANGED.pattern, hear_user))

    return Loop("gateway.hear_limits", begin, every_s=EVERY_S)
