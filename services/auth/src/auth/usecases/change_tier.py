from uuid import UUID

from auth.domain.change_effects import list_changed_fields, preview_tier_change
from auth.store import audit, tiers, users
from auth.store.audit import NewAuditEntry
from auth.usecases.announce_changes import Announcer
from auth.usecases.require_admin import require_admin
from chassis.database.postgres import Database
from contracts.auth.tiers import ChangeTier, Limits, TierLimits
from contracts.preview import Preview


class TierChanger:
    """Changes the limits of a tier. They apply to its users without overrides."""

    def __init__(self, database: Database, announcer: Announcer) -> None:
        self._database, self._announcer = database, announcer

    async def change_tier(self, actor_id: UUID, command: ChangeTier) -> TierLimits:
        """Set the named limits and return the tier; other limits stay unchanged.

        Raises:
            MissingScope: the actor is not an active admin.
        """
        async with self._database.direct() as connection:
            await users.lock_admins(connection)
            await require_admin(connection, actor_id)
            before, after = await tiers.change_tier(connection, command.tier, command.limits.model_dump())
            tier = TierLimits(tier=command.tier, limits=after)
            if after == before:
                return tier
            detail = {"tier": command.tier, "before": before.model_dump(), "after": after.model_dump()}
            await audit.append_entry(connection, NewAuditEntry("tier.changed", actor_id, None, command.ip, detail))
        await self._announcer.announce_tier_change(tier)
        return tier

    async def preview_change(self, actor_id: UUID, command: ChangeTier) -> Preview:
        """Return what the change would do.

        Raises:
            MissingScope: the actor is not an active admin.
        """
        async with self._database.direct() as connection:
            await require_admin(connection, actor_id)
            before = await tiers.find_limits(connection, command.tier)
            after = Limits.model_validate(before.model_dump() | command.limits.model_dump())
            changed = [change.field for change in list_changed_fields(before.model_dump(), after.model_dump())]
            affected, unaffected = await users.count_users_of_tier(connection, command.tier, changed)
        return preview_tier_change(before, after, affected=affected, unaffected=unaffected)
