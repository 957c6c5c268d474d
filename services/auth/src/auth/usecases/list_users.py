from uuid import UUID

from auth.store import audit, users
from auth.store.audit import NewAuditEntry
from auth.usecases.require_admin import require_admin
from chassis.database.postgres import Database
from contracts.auth.accounts import ListUsers, ReadUsernames, Usernames, UserPage


class UserLister:
    """Lists accounts for admins and records each listing in the audit log."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_users(self, actor_id: UUID, query: ListUsers) -> UserPage:
        """Return one page, newest first.

        Raises:
            MissingScope: the actor is not an active admin.
        """
        async with self._database.direct() as connection:
            await require_admin(connection, actor_id)
            found, more = await users.list_users(connection, query)
            detail = query.model_dump(mode="json", exclude_none=True) | {"found": len(found)}
            await audit.append_entry(connection, NewAuditEntry("users.listed", actor_id, None, None, detail))
        return UserPage(accounts=tuple(user.to_account() for user in found), more=more)

    async def read_usernames(self, actor_id: UUID, query: ReadUsernames) -> Usernames:
        """Return the names of users by id. Not recorded in the audit log, because many admin pages show names.

        Raises:
            MissingScope: the actor is not an active admin.
        """
        async with self._database.direct() as connection:
            await require_admin(connection, actor_id)
            return Usernames(usernames=await users.read_usernames(connection, query.user_ids))
