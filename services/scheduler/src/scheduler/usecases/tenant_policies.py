"""Determines the graph policy of a tenant."""

from uuid import UUID

from contracts.auth.tiers import Limits
from contracts.graph_policy.policy import GraphPolicy, TenantPolicy
from scheduler.usecases.class_rule_cache import ClassRuleCache
from scheduler.usecases.tenant_limits import TenantLimits


class TenantPolicies:
    """Combines the policy mode in a tenant's limits with the operators' rules."""

    def __init__(self, *, limits: TenantLimits, rules: ClassRuleCache) -> None:
        self._limits, self._rules = limits, rules

    async def load_fresh_policy(self, tenant_id: UUID) -> TenantPolicy:
        """Return the policy in force, after refreshing the tenant's limits if they are stale.

        Raises:
            UnknownTenant: auth knows no such tenant.
            Unavailable: auth is unavailable and the tenant was never seen.
        """
        return await self.build_policy(await self._limits.refresh_limits(tenant_id))

    async def load_policy(self, tenant_id: UUID) -> TenantPolicy:
        """Return the policy in force for a known tenant, from its saved limits."""
        return await self.build_policy(await self._limits.load_limits(tenant_id))

    async def build_policy(self, limits: Limits) -> TenantPolicy:
        """Return the policy in force for these limits. If auth has never sent the rules: strict, without any rule."""
        rules = await self._rules.load_rules()
        if rules is None:
            return TenantPolicy(mode=GraphPolicy.STRICT)
        return TenantPolicy(mode=limits.graph_policy, rules=rules)
