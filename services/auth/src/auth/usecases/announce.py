"""The doors hear of a change at once."""

from chassis.messaging.bus import Bus
from contracts.auth import CLASS_RULES_CHANGED, TIER_CHANGED, USER_CHANGED, TierLimits, UserChanged
from contracts.graph_policy.policy import ClassRules


class Announcer:
    """Says committed changes live. Who misses one finds it in ``READ_CHANGES``."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def user_changed(self, change: UserChanged) -> None:
        """Announce a change whose transaction has committed."""
        await self._bus.publish(USER_CHANGED, change, tenant=str(change.user_id))

    async def tier_changed(self, tier: TierLimits) -> None:
        """Announce a tier whose change has committed."""
        await self._bus.publish(TIER_CHANGED, tier)

    async def class_rules_changed(self, rules: ClassRules) -> None:
        """Announce the rules in force, whose change has committed."""
        await self._bus.publish(CLASS_RULES_CHANGED, rules)
