"""The doors hear of a change at once."""

from chassis.bus import Bus
from contracts.auth import TIER_CHANGED, USER_CHANGED, TierLimits, UserChanged


class Announcer:
    """Says committed changes live. Who misses one finds it in ``READ_CHANGES``."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def user_changed(self, change: UserChanged) -> None:
        """Announce a change whose transaction has committed."""
        await self._bus.say(USER_CHANGED, change, tenant=str(change.user_id))

    async def tier_changed(self, tier: TierLimits) -> None:
        """Announce a tier whose change has committed."""
        await self._bus.say(TIER_CHANGED, tier)
