from uuid import UUID

from auth.domain.standing import UserState, standing_of
from auth.domain.user import User
from auth.store import audit, changes, quota_groups, users
from auth.store.audit import Entry
from auth.usecases.acting_admin import require_admin
from auth.usecases.announce import Announcer
from chassis.database.postgres import Database
from chassis.database.statement import Connection
from contracts.auth.accounts import Account, ChangeUser, LastAdmin, UnknownUser
from contracts.auth.changes import UserChanged


class UserChanger:
    """Changes accounts on behalf of admins and announces the change to the public services."""

    def __init__(self, database: Database, announcer: Announcer) -> None:
        self._database, self._announcer = database, announcer

    async def change(self, actor_id: UUID, command: ChangeUser) -> Account:
        """Apply the change and return the account.

        Deactivation ends the user's sessions; its keys work again after reactivation.

        Raises:
            MissingScope: the actor is not an active admin.
            UnknownUser: there is no such user.
            LastAdmin: no active admin would be left.
        """
        async with self._database.direct() as connection:
            await users.hold_admins(connection)
            await require_admin(connection, actor_id)
            user = await users.lock(connection, command.user_id)
            if user is None:
                raise UnknownUser
            before = standing_of(user)
            after = before.after(command)
            if after == before:
                return user.account()
            if before.leads and not after.leads and await users.is_last_admin(connection, user.id):
                raise LastAdmin
            change = await _write(connection, user, after)
            detail = {"before": after.beside(before), "after": before.beside(after)}
            await audit.record(connection, Entry("user.changed", actor_id, user.id, command.ip, detail))
            changed = await users.find(connection, user.id)
        await self._announcer.user_changed(change)
        return (changed or user).account()


async def _write(connection: Connection, user: User, after: UserState) -> UserChanged:
    await users.save(connection, user.id, tier=after.tier, role=after.role, is_active=after.is_active, own=after.own)
    if user.address_group is not None and not after.shares_quota:
        await quota_groups.leave(connection, user.id)
    leaves = user.is_active and not after.is_active
    if leaves:
        await users.end_sessions(connection, user.id)
    return await changes.change(connection, user.id, void_tokens=leaves)
