from datetime import timedelta
from uuid import UUID

from auth.domain.password import Policy
from auth.store import audit, changes, logins, sessions, users
from auth.store.audit import Entry
from auth.usecases.announce import Announcer
from auth.usecases.check_password import Claim, check, settle
from auth.usecases.hashing import HashingPool
from chassis.database.postgres import Database
from chassis.database.statement import Connection
from contracts.auth.accounts import ChangePassword, InvalidAccount
from contracts.auth.changes import UserChanged
from contracts.auth.fields import Done
from contracts.auth.sessions import InvalidLogin

SESSIONS_TOLD = 20  # beyond this, all access tokens are voided at once; the remaining session refreshes its own


class PasswordChanger:
    """Changes passwords.

    Args:
        token_life: maximum time after a refresh during which a session can have valid access tokens.
    """

    def __init__(
        self, database: Database, hashing: HashingPool, policy: Policy, announcer: Announcer, *, token_life: timedelta
    ) -> None:
        self._database, self._hashing, self._policy = database, hashing, policy
        self._announcer, self._token_life = announcer, token_life

    async def change(self, user_id: UUID, command: ChangePassword) -> Done:
        """Set the new password and end every other session of the user.

        Raises:
            InvalidLogin: the current password is wrong, or logins are delayed after failures.
            InvalidAccount: the new password breaks the policy; says how.
            Busy: too many passwords are waiting to be hashed.
        """
        new = command.new_password.get_secret_value()
        with self._hashing.place():
            async with self._database.single() as connection:
                login = await logins.find_by_id(connection, user_id)
                user = await users.find(connection, user_id)
            if user is not None:
                errors = self._policy.errors(new, username=user.username, email=user.email, pointer="/new_password")
                if errors:
                    raise InvalidAccount(errors=errors)
            claim = await check(self._hashing, login, command.current_password.get_secret_value())
            new_hash = await self._hashing.make(new) if claim.checked.matches else ""
            async with self._database.direct() as connection:
                told = await self._decide(connection, user_id, claim, new_hash, command)
        if told is None:
            raise InvalidLogin
        for change in told:
            await self._announcer.user_changed(change)
        return Done()

    async def _decide(
        self, connection: Connection, user_id: UUID, claim: Claim, new_hash: str, command: ChangePassword
    ) -> list[UserChanged] | None:
        reason = await settle(connection, claim)
        if reason is not None:
            why = {"reason": str(reason), "at": "password.change"}
            await audit.record(connection, Entry("session.refused", user_id, user_id, command.ip, why))
            return None
        await logins.set_hash(connection, user_id, new_hash)
        told, count = await self._end_others(connection, user_id, command.session_id)
        detail = {"sessions_ended": count}
        await audit.record(connection, Entry("password.changed", user_id, user_id, command.ip, detail))
        return told

    async def _end_others(
        self, connection: Connection, user_id: UUID, kept: UUID | None
    ) -> tuple[list[UserChanged], int]:
        count, live = await sessions.end_others(connection, user_id, kept=kept, token_life=self._token_life)
        if len(live) > SESSIONS_TOLD:
            return [await changes.change(connection, user_id, void_tokens=True)], count
        return [await changes.change(connection, user_id, ended_session=ended) for ended in live], count
