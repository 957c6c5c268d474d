"""Which graph policy holds for a tenant?"""

from uuid import UUID

from contracts.auth.tiers import Limits
from contracts.graph_policy.policy import GraphPolicy, TenantPolicy
from scheduler.usecases.class_rule_cache import ClassRuleCache
from scheduler.usecases.tenant_limits import TenantLimits


class TenantPolicies:
    """Joins the mode of a tenant's limits and the operators' rules."""

    def __init__(self, *, limits: TenantLimits, rules: ClassRuleCache) -> None:
        self._limits, self._rules = limits, rules

    async def fresh_policy_of(self, tenant_id: UUID) -> TenantPolicy:
        """The policy in force, after the tenant's limits were asked for again if that is due.

        Raises:
            UnknownTenant: auth knows no such tenant.
            Unavailable: auth is away and the tenant was never seen.
        """
        return await self.policy_under(await self._limits.refresh(tenant_id))

    async def policy_of(self, tenant_id: UUID) -> TenantPolicy:
        """The policy in force for a tenant that is known, by the limits that are kept of it."""
        return await self.policy_under(await self._limits.limits_of(tenant_id))

    async def policy_under(self, limits: Limits) -> TenantPolicy:
        """The policy in force under these limits.

        While nobody ever said what the rules are, it is the strictest: no rule allows anything.
        """
        rules = await self._rules.current()
        if rules is None:
            return TenantPolicy(mode=GraphPolicy.STRICT)
        return TenantPolicy(mode=limits.graph_policy, rules=rules)
