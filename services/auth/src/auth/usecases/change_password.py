"""Somebody sets a new password."""

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
from contracts.auth import BadLogin, ChangePassword, Done, InvalidAccount, UserChanged

SESSIONS_TOLD = 20  # of more, doors are told that every token is void: the session that stays refreshes its own


class PasswordChanger:
    """Changes passwords.

    Args:
        token_life: of the last access token that a rotation may have led to, counted from the rotation: a session
            that was not refreshed within it has none that is valid.
    """

    def __init__(
        self, database: Database, hashing: HashingPool, policy: Policy, announcer: Announcer, *, token_life: timedelta
    ) -> None:
        self._database, self._hashing, self._policy = database, hashing, policy
        self._announcer, self._token_life = announcer, token_life

    async def change(self, user_id: UUID, command: ChangePassword) -> Done:
        """Set the new password and end every session of the user but the one that asks.

        Raises:
            BadLogin: the current password is not that, or it was guessed at too often a moment ago.
            InvalidAccount: the new one will not do; says why.
            Busy: too many passwords wait to be hashed.
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
            raise BadLogin
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
