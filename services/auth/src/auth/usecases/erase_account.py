"""Erases accounts. Other services delete their data when they read the erasure."""

from uuid import UUID

from auth.store import audit, changes, erasures, logins, users
from auth.store.audit import NewAuditEntry
from auth.usecases.announce_changes import Announcer
from auth.usecases.check_password import accept_or_refuse_login, check_password
from auth.usecases.hash_passwords import HashingPool
from auth.usecases.require_admin import require_admin
from chassis.database.postgres import Database
from chassis.database.statement import Connection
from contracts.auth.accounts import LastAdmin, Role, UnknownUser
from contracts.auth.changes import UserChanged
from contracts.auth.erasure import EraseAccount, EraseUser
from contracts.auth.fields import Done
from contracts.auth.sessions import InvalidLogin


class AccountEraser:
    """Deletes credentials, name and email address, and records the erasure for other services in the same commit."""

    def __init__(self, database: Database, hashing: HashingPool, announcer: Announcer) -> None:
        self._database, self._hashing, self._announcer = database, hashing, announcer

    async def erase_own_account(self, user_id: UUID, command: EraseAccount) -> Done:
        """Erase the requesting user's account.

        Raises:
            InvalidLogin: the password is wrong, or logins are delayed after failures.
            LastAdmin: no active admin would be left.
            TooManyLogins: too many passwords are waiting to be hashed.
        """
        with self._hashing.reserve_slot():
            async with self._database.single() as connection:
                login = await logins.find_login_by_id(connection, user_id)
            checked_login = await check_password(self._hashing, login, command.password.get_secret_value())
        async with self._database.direct() as connection:
            await users.lock_admins(connection)
            reason = await accept_or_refuse_login(connection, checked_login)
            if reason is not None:
                detail = {"reason": str(reason), "at": "account.erase"}
                await audit.append_entry(
                    connection, NewAuditEntry("session.refused", user_id, user_id, command.ip, detail)
                )
                change = None
            else:
                change = await _erase_user(connection, user_id, actor_id=user_id, ip=command.ip)
        if change is None:
            raise InvalidLogin
        await self._announcer.announce_user_change(change)
        return Done()

    async def erase_account_of_user(self, actor_id: UUID, command: EraseUser) -> Done:
        """Erase another user's account.

        Raises:
            MissingScope: the actor is not an active admin.
            UnknownUser: the user does not exist or was erased.
            LastAdmin: no active admin would be left.
        """
        async with self._database.direct() as connection:
            await users.lock_admins(connection)
            await require_admin(connection, actor_id)
            change = await _erase_user(connection, command.user_id, actor_id=actor_id, ip=command.ip)
        await self._announcer.announce_user_change(change)
        return Done()


async def _erase_user(connection: Connection, user_id: UUID, *, actor_id: UUID, ip: str | None) -> UserChanged:
    user = await users.lock_user(connection, user_id)
    if user is None:
        raise UnknownUser
    if user.is_active and user.role is Role.ADMIN and await users.is_last_admin(connection, user.id):
        raise LastAdmin
    await erasures.erase_user(connection, user.id)
    change = await changes.record_change(connection, user.id, void_tokens=True)
    await audit.append_entry(connection, NewAuditEntry("account.erased", actor_id, user.id, ip))
    return change
