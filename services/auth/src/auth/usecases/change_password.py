from datetime import timedelta
from uuid import UUID

from auth.domain.password import PasswordPolicy
from auth.store import audit, changes, logins, sessions, users
from auth.store.audit import NewAuditEntry
from auth.usecases.announce_changes import Announcer
from auth.usecases.check_password import CheckedLogin, accept_or_refuse_login, check_password
from auth.usecases.hash_passwords import HashingPool
from chassis.database.postgres import Database
from chassis.database.statement import Connection
from contracts.auth.accounts import ChangePassword, InvalidAccount
from contracts.auth.changes import UserChanged
from contracts.auth.fields import Done
from contracts.auth.sessions import InvalidLogin

# Beyond this, all access tokens are voided at once; the remaining session refreshes its own.
MAX_SESSIONS_ANNOUNCED = 20


class PasswordChanger:
    """Changes passwords.

    Args:
        token_life: maximum time after a refresh during which a session can have valid access tokens.
    """

    def __init__(
        self,
        database: Database,
        hashing: HashingPool,
        policy: PasswordPolicy,
        announcer: Announcer,
        *,
        token_life: timedelta,
    ) -> None:
        self._database, self._hashing, self._policy = database, hashing, policy
        self._announcer, self._token_life = announcer, token_life

    async def change_password(self, user_id: UUID, command: ChangePassword) -> Done:
        """Set the new password and end every other session of the user.

        Raises:
            InvalidLogin: the current password is wrong, or logins are delayed after failures.
            InvalidAccount: the new password breaks the policy; says how.
            TooManyLogins: too many passwords are waiting to be hashed.
        """
        new = command.new_password.get_secret_value()
        with self._hashing.reserve_slot():
            async with self._database.single() as connection:
                login = await logins.find_login_by_id(connection, user_id)
                user = await users.find_user(connection, user_id)
            if user is not None:
                errors = self._policy.validate(new, username=user.username, email=user.email, pointer="/new_password")
                if errors:
                    raise InvalidAccount(errors=errors)
            checked_login = await check_password(self._hashing, login, command.current_password.get_secret_value())
            new_hash = await self._hashing.hash(new) if checked_login.password_check.matches else ""
            async with self._database.direct() as connection:
                user_changes = await self._change_if_correct(connection, user_id, checked_login, new_hash, command)
        if user_changes is None:
            raise InvalidLogin
        for change in user_changes:
            await self._announcer.announce_user_change(change)
        return Done()

    async def _change_if_correct(
        self, connection: Connection, user_id: UUID, checked_login: CheckedLogin, new_hash: str, command: ChangePassword
    ) -> list[UserChanged] | None:
        reason = await accept_or_refuse_login(connection, checked_login)
        if reason is not None:
            refused = {"reason": str(reason), "at": "password.change"}
            await audit.append_entry(
                connection, NewAuditEntry("session.refused", user_id, user_id, command.ip, refused)
            )
            return None
        await logins.set_password_hash(connection, user_id, new_hash)
        user_changes, count = await self._end_other_sessions(connection, user_id, command.session_id)
        ended = {"sessions_ended": count}
        await audit.append_entry(connection, NewAuditEntry("password.changed", user_id, user_id, command.ip, ended))
        return user_changes

    async def _end_other_sessions(
        self, connection: Connection, user_id: UUID, kept: UUID | None
    ) -> tuple[list[UserChanged], int]:
        count, with_tokens = await sessions.end_other_sessions(
            connection, user_id, kept=kept, token_life=self._token_life
        )
        if len(with_tokens) > MAX_SESSIONS_ANNOUNCED:
            return [await changes.record_change(connection, user_id, void_tokens=True)], count
        return [await changes.record_change(connection, user_id, ended_session=ended) for ended in with_tokens], count
