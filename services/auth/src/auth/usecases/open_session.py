from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from uuid import UUID

from pydantic import SecretStr

from auth.domain.account import normalize_login_name
from auth.domain.refresh_token import RefreshTokenPepper, new_refresh_token
from auth.store import audit, logins, sessions, users
from auth.store.audit import NewAuditEntry
from auth.usecases.check_password import CheckedLogin, accept_or_refuse_login, check_password
from auth.usecases.hash_passwords import HashingPool
from auth.usecases.sign_tokens import AccessTokenSigner
from chassis.database.postgres import Database
from chassis.database.statement import Connection
from chassis.ids import new_id
from contracts.auth.sessions import InvalidLogin, OpenSession, SessionTokens


class SessionOpener:
    """Logs users in.

    Args:
        life: lifetime of a session regardless of refreshes.
        idle: lifetime of a session that is not refreshed.
    """

    def __init__(
        self,
        database: Database,
        hashing: HashingPool,
        signer: AccessTokenSigner,
        pepper: RefreshTokenPepper,
        *,
        life: timedelta,
        idle: timedelta,
    ) -> None:
        self._database, self._hashing, self._signer = database, hashing, signer
        self._pepper, self._life, self._idle = pepper, life, idle

    async def open_session(self, command: OpenSession) -> SessionTokens:
        """Verify the password and open a session.

        Raises:
            InvalidLogin: wrong name or password, deactivated account, or delayed logins. The error and its timing do
                not reveal which.
            TooManyLogins: too many passwords are waiting to be hashed; nothing was looked up.
        """
        with self._hashing.reserve_slot():
            await self._signer.ensure_signing_key()
            async with self._database.connection() as connection:
                login = await logins.find_login(connection, normalize_login_name(command.username))
            checked_login = await check_password(self._hashing, login, command.password.get_secret_value())
            async with self._database.transaction() as connection:
                session = await self._open_if_correct(connection, checked_login, command)
        if session is None:
            raise InvalidLogin
        return session

    async def _open_if_correct(
        self, connection: Connection, checked_login: CheckedLogin, command: OpenSession
    ) -> SessionTokens | None:
        user_id = checked_login.login.user_id if checked_login.login else None
        reason = await accept_or_refuse_login(connection, checked_login)
        if reason is not None or user_id is None:
            # Do not record the submitted name: users sometimes type their password there.
            detail = {"reason": str(reason)}
            await audit.append_entry(connection, NewAuditEntry("session.refused", None, user_id, command.ip, detail))
            return None
        return await self.start_session(connection, user_id, ip=command.ip, user_agent=command.user_agent)

    async def start_session(
        self,
        connection: Connection,
        user_id: UUID,
        *,
        ip: str | None,
        user_agent: str | None,
        detail: Mapping[str, str | None] = MappingProxyType({}),
    ) -> SessionTokens:
        """Open a session of a user whose lock is held. ``detail`` is added to the audit log entry."""
        session_id, refresh_token = new_id(), new_refresh_token()
        await sessions.create_session(connection, session_id, user_id, life=self._life, user_agent=user_agent, ip=ip)
        await sessions.add_refresh_token(connection, session_id, self._pepper.digest(refresh_token), generation=1)
        user = await users.find_user(connection, user_id)
        assert user is not None  # noqa: S101 - its lock is held
        access_token = await self._signer.sign_token(connection, user, session_id)
        entry = NewAuditEntry("session.opened", user_id, user_id, ip, {"session_id": str(session_id), **detail})
        await audit.append_entry(connection, entry)
        return SessionTokens(
            access_token=SecretStr(access_token),
            refresh_token=SecretStr(refresh_token),
            expires_in=int(self._signer.token_life.total_seconds()),
            refresh_expires_in=int(min(self._life, self._idle).total_seconds()),
        )
