from uuid import UUID

from pydantic import SecretStr

from auth.domain.login_link import digest_login_link_token, new_login_link_token
from auth.store import audit, login_links, users
from auth.store.audit import NewAuditEntry
from auth.usecases.open_session import SessionOpener
from auth.usecases.require_admin import require_admin
from auth.usecases.sign_tokens import AccessTokenSigner
from chassis.database.postgres import Database
from chassis.database.statement import Connection
from contracts.auth.accounts import UnknownUser
from contracts.auth.login_links import (
    CreatedLoginLink,
    CreateLoginLink,
    InvalidLoginLink,
    RedeemLoginLink,
    UserInactive,
)
from contracts.auth.sessions import SessionTokens


class LoginLinkCreator:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def create_for_admin(self, actor_id: UUID, command: CreateLoginLink) -> CreatedLoginLink:
        """Return a new link for the user, whose token is not stored.

        Raises:
            MissingScope: the actor is not an active admin.
            UnknownUser: the user does not exist or was erased.
            UserInactive: the user is deactivated.
        """
        async with self._database.transaction() as connection:
            await require_admin(connection, actor_id)
            return await self._create_link(connection, command.user_id, created_by=actor_id, ip=command.ip)

    async def create_for_operator(self, username: str) -> CreatedLoginLink:
        """Create a login link for a user, on behalf of an operator who uses the command line.

        Raises:
            UnknownUser: the user does not exist or was erased.
            UserInactive: the user is deactivated.
        """
        async with self._database.transaction() as connection:
            user_id = await users.find_user_id(connection, username)
            if user_id is None:
                raise UnknownUser
            return await self._create_link(connection, user_id, created_by=None, ip=None)

    async def _create_link(
        self, connection: Connection, user_id: UUID, *, created_by: UUID | None, ip: str | None
    ) -> CreatedLoginLink:
        user = await users.find_user(connection, user_id)
        if user is None:
            raise UnknownUser
        if not user.is_active:
            raise UserInactive
        token = new_login_link_token()
        digest = digest_login_link_token(token)
        assert digest is not None  # noqa: S101 - a new token is well-formed
        expires_at = await login_links.add_login_link(connection, digest, user_id, created_by=created_by)
        detail = {"expires_at": expires_at.isoformat()}
        await audit.append_entry(connection, NewAuditEntry("login_link.created", created_by, user_id, ip, detail))
        return CreatedLoginLink(token=SecretStr(token), expires_at=expires_at)


class LoginLinkRedeemer:
    """Logs users in with login links."""

    def __init__(self, database: Database, opener: SessionOpener, signer: AccessTokenSigner) -> None:
        self._database, self._opener, self._signer = database, opener, signer

    async def redeem_login_link(self, command: RedeemLoginLink) -> SessionTokens:
        """Open a session of the link's user. The link is used even if it is refused.

        Raises:
            InvalidLoginLink: unknown, used or expired, or the user is deactivated; does not say which.
        """
        digest = digest_login_link_token(command.token.get_secret_value())
        if digest is None:
            raise InvalidLoginLink
        await self._signer.ensure_signing_key()
        async with self._database.transaction() as connection:
            session = await self._redeem_link(connection, digest, command)
        if session is None:
            raise InvalidLoginLink
        return session

    async def _redeem_link(
        self, connection: Connection, digest: bytes, command: RedeemLoginLink
    ) -> SessionTokens | None:
        user_id = await login_links.find_user_id(connection, digest)
        user = await users.lock_user(connection, user_id) if user_id else None
        link = await login_links.redeem_login_link(connection, digest)
        if user is None or link is None or not link.is_valid or not user.is_active:
            detail = {"reason": "login_link"}
            await audit.append_entry(connection, NewAuditEntry("session.refused", None, user_id, command.ip, detail))
            return None
        created_by = str(link.created_by) if link.created_by else None
        return await self._opener.start_session(
            connection, user.id, ip=command.ip, user_agent=command.user_agent,
            detail={"login_link_created_by": created_by},
        )  # fmt: skip
