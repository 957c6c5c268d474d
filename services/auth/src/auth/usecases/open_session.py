from datetime import timedelta
from uuid import UUID

from pydantic import SecretStr

from auth.domain.account import login_name
from auth.domain.refresh_token import RefreshPepper, new_refresh_token
from auth.store import audit, logins, sessions, users
from auth.store.audit import Entry
from auth.usecases.check_password import Claim, check, settle
from auth.usecases.hashing import HashingPool
from auth.usecases.signing import Signer
from chassis.database.postgres import Database
from chassis.database.statement import Connection
from chassis.ids import new_id
from contracts.auth.sessions import InvalidLogin, OpenSession, Session


class SessionOpener:
    """Logs users in.

    Args:
        life: lifetime of a session regardless of refreshes.
    """

    def __init__(
        self, database: Database, hashing: HashingPool, signer: Signer, pepper: RefreshPepper, *, life: timedelta
    ) -> None:
        self._database, self._hashing, self._signer = database, hashing, signer
        self._pepper, self._life = pepper, life

    async def open(self, command: OpenSession) -> Session:
        """Verify the password and open a session.

        Raises:
            InvalidLogin: wrong name or password, deactivated account, or delayed logins. The error and its timing do
                not reveal which.
            Busy: too many passwords are waiting to be hashed; nothing was looked up.
        """
        with self._hashing.place():
            await self._signer.ready()
            async with self._database.single() as connection:
                login = await logins.find(connection, login_name(command.username))
            claim = await check(self._hashing, login, command.password.get_secret_value())
            async with self._database.direct() as connection:
                session = await self._decide(connection, claim, command)
        if session is None:
            raise InvalidLogin
        return session

    async def _decide(self, connection: Connection, claim: Claim, command: OpenSession) -> Session | None:
        user_id = claim.login.user_id if claim.login else None
        reason = await settle(connection, claim)
        if reason is not None or user_id is None:
            # Do not record the submitted name: users sometimes type their password there.
            detail = {"reason": str(reason)}
            await audit.record(connection, Entry("session.refused", None, user_id, command.ip, detail))
            return None
        return await self._begin(connection, user_id, command.ip)

    async def _begin(self, connection: Connection, user_id: UUID, ip: str | None) -> Session:
        session_id, refresh_token = new_id(), new_refresh_token()
        await sessions.begin(connection, session_id, user_id, life=self._life)
        await sessions.add_token(connection, session_id, self._pepper.digest(refresh_token), generation=1)
        user = await users.find(connection, user_id)
        assert user is not None  # noqa: S101 - its lock is held
        access_token = await self._signer.token(connection, user, session_id)
        detail = {"session_id": str(session_id)}
        await audit.record(connection, Entry("session.opened", user_id, user_id, ip, detail))
        return Session(
            access_token=SecretStr(access_token),
            refresh_token=SecretStr(refresh_token),
            expires_in=int(self._signer.token_life.total_seconds()),
        )
