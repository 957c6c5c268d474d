"""Publishes changes to the public services."""

from chassis.messaging.bus import Bus
from contracts.auth.changes import USER_CHANGED, UserChanged
from contracts.auth.class_rules import CLASS_RULES_CHANGED
from contracts.auth.tiers import TIER_CHANGED, TierLimits
from contracts.graph_policy.policy import ClassRules


class Announcer:
    """Publishes committed account changes to other services, which read missed ones with ``READ_CHANGES``."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def announce_user_change(self, change: UserChanged) -> None:
        """Publish a user change after its commit."""
        await self._bus.publish(USER_CHANGED, change, tenant=str(change.user_id))

    async def announce_tier_change(self, tier: TierLimits) -> None:
        """Publish a tier change after its commit."""
        await self._bus.publish(TIER_CHANGED, tier)

    async def announce_class_rules(self, rules: ClassRules) -> None:
        """Publish the rules in force after their commit."""
        await self._bus.publish(CLASS_RULES_CHANGED, rules)
