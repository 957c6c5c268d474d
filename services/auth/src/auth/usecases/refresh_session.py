"""Refreshes sessions and detects stolen refresh tokens."""

from dataclasses import dataclass
from datetime import timedelta

from pydantic import SecretStr

from auth.domain.refresh_token import RefreshDecision, RefreshTokenPepper, looks_like_refresh_token, new_refresh_token
from auth.domain.user import User
from auth.store import audit, changes, sessions, users
from auth.store.audit import NewAuditEntry
from auth.store.sessions import PresentedToken
from auth.usecases.announce_changes import Announcer
from auth.usecases.sign_tokens import AccessTokenSigner
from chassis.database.postgres import Database
from chassis.database.statement import Connection
from chassis.telemetry.logs import log
from contracts.auth.changes import UserChanged
from contracts.auth.sessions import InvalidRefreshToken, RefreshSession, Session


@dataclass(frozen=True, slots=True)
class _RefreshOutcome:
    """The transaction refreshed the session, ended it because of reuse, or found that it had ended before."""

    session: Session | None = None
    ended: UserChanged | None = None


class SessionRefresher:
    """Exchanges refresh tokens.

    Args:
        idle: lifetime of a session that is not refreshed.
        grace: how long the last exchanged token may be presented again, in case its reply was lost.
    """

    def __init__(
        self,
        database: Database,
        signer: AccessTokenSigner,
        pepper: RefreshTokenPepper,
        announcer: Announcer,
        *,
        idle: timedelta,
        grace: timedelta,
    ) -> None:
        self._database, self._signer, self._pepper, self._announcer = database, signer, pepper, announcer
        self._idle, self._grace = idle, grace

    async def refresh_session(self, command: RefreshSession) -> Session:
        """Return a refresh token of the next generation and an access token.

        Raises:
            InvalidRefreshToken: the token is malformed or unknown, or its session is over; does not say which. Reuse
                of an older token ends its session.
        """
        token = command.refresh_token.get_secret_value()
        if not looks_like_refresh_token(token):
            raise InvalidRefreshToken
        await self._signer.ensure_signing_key()
        async with self._database.direct() as connection:
            presented = await sessions.find_refresh_token(connection, self._pepper.list_digests(token))
            outcome = await self._refresh_or_end(connection, presented, command) if presented else _RefreshOutcome()
        if outcome.ended is not None:
            log.warning("auth.refresh.reused", user_id=str(outcome.ended.user_id))
            await self._announcer.announce_user_change(outcome.ended)
        if outcome.session is None:
            raise InvalidRefreshToken
        return outcome.session

    async def _refresh_or_end(
        self, connection: Connection, presented: PresentedToken, command: RefreshSession
    ) -> _RefreshOutcome:
        user = await users.lock_user(connection, presented.user_id)
        session = await sessions.lock_session(connection, presented.session_id)
        if user is None or session is None:
            return _RefreshOutcome()
        decision = session.decide_refresh(presented.generation, idle=self._idle, grace=self._grace)
        if decision is RefreshDecision.SESSION_ENDED:
            return _RefreshOutcome()
        if decision is RefreshDecision.REUSED:
            return _RefreshOutcome(ended=await self._end_reused_session(connection, presented, command.ip))
        generation = session.generation
        if decision is RefreshDecision.ROTATE:
            generation += 1
            await sessions.start_generation(
                connection, presented.session_id, generation, user_agent=command.user_agent, ip=command.ip
            )
        lifetime = min(self._idle, session.expires_at - session.now)
        return _RefreshOutcome(session=await self._issue_tokens(connection, user, presented, generation, lifetime))

    async def _issue_tokens(
        self, connection: Connection, user: User, presented: PresentedToken, generation: int, lifetime: timedelta
    ) -> Session:
        refresh_token = new_refresh_token()
        await sessions.add_refresh_token(
            connection, presented.session_id, self._pepper.digest(refresh_token), generation
        )
        return Session(
            access_token=SecretStr(await self._signer.sign_token(connection, user, presented.session_id)),
            refresh_token=SecretStr(refresh_token),
            expires_in=int(self._signer.token_life.total_seconds()),
            refresh_expires_in=int(lifetime.total_seconds()),
        )

    async def _end_reused_session(
        self, connection: Connection, presented: PresentedToken, ip: str | None
    ) -> UserChanged:
        """End the session for both parties that hold one of its tokens."""
        await sessions.end_session(connection, presented.session_id, presented.user_id)
        change = await changes.record_change(connection, presented.user_id, ended_session=presented.session_id)
        detail = {"session_id": str(presented.session_id), "generation": presented.generation}
        await audit.append_entry(connection, NewAuditEntry("refresh.reused", None, presented.user_id, ip, detail))
        return change
