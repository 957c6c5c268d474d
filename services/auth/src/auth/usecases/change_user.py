from uuid import UUID

from auth.domain.change_effects import preview_user_change
from auth.domain.user import User
from auth.domain.user_state import UserState, build_user_state
from auth.store import audit, changes, quota_groups, tiers, users
from auth.store.audit import NewAuditEntry
from auth.usecases.announce_changes import Announcer
from auth.usecases.require_admin import require_admin
from chassis.database.postgres import Database
from chassis.database.statement import Connection
from contracts.auth.accounts import Account, ChangeUser, LastAdmin, UnknownUser
from contracts.auth.changes import UserChanged
from contracts.auth.tiers import Limits
from contracts.preview import Preview


class UserChanger:
    """Changes accounts on behalf of admins and announces the change to the public services."""

    def __init__(self, database: Database, announcer: Announcer) -> None:
        self._database, self._announcer = database, announcer

    async def change_user(self, actor_id: UUID, command: ChangeUser) -> Account:
        """Apply the change and return the account.

        Deactivation ends the user's sessions; its keys work again after reactivation.

        Raises:
            MissingScope: the actor is not an active admin.
            UnknownUser: there is no such user.
            LastAdmin: no active admin would be left.
        """
        async with self._database.transaction() as connection:
            await users.lock_admins(connection)
            await require_admin(connection, actor_id)
            user = await users.lock_user(connection, command.user_id)
            if user is None:
                raise UnknownUser
            before = build_user_state(user)
            after = before.apply(command)
            if after == before:
                return user.to_account()
            if before.is_active_admin and not after.is_active_admin and await users.is_last_admin(connection, user.id):
                raise LastAdmin
            change = await _write_user(connection, user, after)
            detail = {"before": after.find_differences(before), "after": before.find_differences(after)}
            await audit.append_entry(connection, NewAuditEntry("user.changed", actor_id, user.id, command.ip, detail))
            changed = await users.find_user(connection, user.id)
        await self._announcer.announce_user_change(change)
        return (changed or user).to_account()

    async def preview_change(self, actor_id: UUID, command: ChangeUser) -> Preview:
        """Return what the change would do.

        Raises:
            MissingScope: the actor is not an active admin.
            UnknownUser: there is no such user.
            LastAdmin: no active admin would be left.
        """
        async with self._database.transaction() as connection:
            await require_admin(connection, actor_id)
            user = await users.find_user(connection, command.user_id)
            if user is None:
                raise UnknownUser
            before = build_user_state(user)
            after = before.apply(command)
            if before.is_active_admin and not after.is_active_admin and await users.is_last_admin(connection, user.id):
                raise LastAdmin
            tier_limits = await tiers.find_limits(connection, after.tier)
            sessions = await users.count_sessions(connection, user.id)
        limits = Limits.model_validate(tier_limits.model_dump() | after.own_limits)
        return preview_user_change(before, after, user.limits, limits, sessions=sessions)


async def _write_user(connection: Connection, user: User, after: UserState) -> UserChanged:
    await users.save_user(
        connection, user.id, tier=after.tier, role=after.role, is_active=after.is_active, own_limits=after.own_limits
    )
    if user.address_group is not None and not after.shares_quota:
        await quota_groups.leave_quota_group(connection, user.id)
    is_deactivated = user.is_active and not after.is_active
    if is_deactivated:
        await users.end_sessions(connection, user.id)
    return await changes.record_change(connection, user.id, void_tokens=is_deactivated)
