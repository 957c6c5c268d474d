"""Hears that a tier has other limits: TIER_CHANGED, live; what is not heard is asked for within 30 s."""

from collections.abc import Awaitable, Callable

from nats.aio.msg import Msg

from chassis.bus import Bus
from chassis.loop import Loop
from contracts.auth import TIER_CHANGED

EVERY_S = 3600.0  # once it hears there is nothing left to do


def hear_tiers(bus: Bus, changed: Callable[[], None]) -> Loop:
    """The loop that begins to hear."""
    hearing: list[Callable[[], Awaitable[None]]] = []

    async def hear(_: Msg) -> None:
        changed()

    async def begin() -> None:
        if not hearing:
            hearing.append(await bus.hear(TIER_CHANGED.pattern, hear))

    return Loop("gateway.hear_tiers", begin, every_s=EVERY_S)
