"""Which graph policy holds for a tenant?"""

from uuid import UUID

from contracts.graph_policy.policy import GraphPolicy, TenantPolicy
from scheduler.usecases.class_rule_cache import ClassRuleCache
from scheduler.usecases.tenant_limits import TenantLimits


class TenantPolicies:
    """Joins the mode of a tenant's tier and the operators' rules."""

    def __init__(self, *, limits: TenantLimits, rules: ClassRuleCache) -> None:
        self._limits, self._rules = limits, rules

    async def fresh_policy_of(self, tenant_id: UUID) -> TenantPolicy:
        """The policy in force, after the tenant's limits were asked for again if that is due.

        Raises:
            UnknownTenant: auth knows no such tenant.
            Unavailable: auth is away and the tenant was never seen.
        """
        await self._limits.refresh(tenant_id)
        return await self.policy_of(tenant_id)

    async def policy_of(self, tenant_id: UUID) -> TenantPolicy:
        """The policy in force. While nobody ever said what the rules are, it is the strictest: no class is allowed."""
        rules = await self._rules.current()
        if rules is None:
            return TenantPolicy(mode=GraphPolicy.STRICT)
        limits = await self._limits.limits_of(tenant_id)
        return TenantPolicy(mode=limits.graph_policy, rules=rules)
