"""Sessions: login, refresh and logout."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from contracts.auth.fields import Done, Ip, Secret, UserAgent
from contracts.auth.rpc import PASSWORD_HASH_TIMEOUT_S, declare_auth_rpc
from contracts.wire.errors import ErrorKind, Refusal
from contracts.wire.model import StrictModel, TolerantModel


class SessionTokens(TolerantModel):
    """The result of a login or refresh.

    Attributes:
        expires_in: lifetime of the access token, seconds.
        refresh_expires_in: lifetime of the refresh token, seconds; None if unknown.
    """

    access_token: Secret
    refresh_token: Secret
    expires_in: int
    refresh_expires_in: int | None = None


class OpenSession(StrictModel):
    """Log in. ``username`` can be the email address."""

    username: Annotated[str, Field(min_length=1, max_length=512)]
    password: Secret
    ip: Ip | None = None
    user_agent: UserAgent | None = None


class RefreshSession(StrictModel):
    """Exchange a refresh token for a new refresh token and an access token."""

    refresh_token: Secret
    ip: Ip | None = None
    user_agent: UserAgent | None = None


class EndSession(StrictModel):
    """End a session, or all sessions of the user if ``session_id`` is None."""

    session_id: UUID | None
    ip: Ip | None = None


class RevokeSession(StrictModel):
    """End one session of the user. Idempotent. A session of another user is refused as unknown."""

    session_id: UUID
    ip: Ip | None = None


class InvalidLogin(Refusal):
    """Wrong username or password, or too many failed attempts. Check both. If they are right, try again in an hour."""

    kind, code = ErrorKind.UNAUTHENTICATED, "auth.login.failed"


class InvalidRefreshToken(Refusal):
    """The refresh token is invalid, expired or already used. Log in again."""

    kind, code = ErrorKind.UNAUTHENTICATED, "auth.refresh.invalid"


class TooManyLogins(Refusal):
    """Too many logins are being processed at this moment. Try again after Retry-After."""

    kind, code = ErrorKind.UNAVAILABLE, "auth.busy"


class UnknownSession(Refusal):
    """There is no such session. GET /api/v1/auth/sessions lists yours."""

    kind, code = ErrorKind.NOT_FOUND, "auth.session.not_found"


class ListSessions(StrictModel):
    """List the sessions of the user in the subject.

    Attributes:
        only_active: leave out sessions that have ended or expired.
    """

    only_active: bool = False


class SessionRecord(TolerantModel):
    """A session. It is deleted one day after its end.

    Attributes:
        expires_at: when it expires if it is not refreshed before.
        user_agent, ip: user agent and IP address of the login or the last refresh.
    """

    id: UUID
    created_at: datetime
    refreshed_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    user_agent: str | None = None
    ip: str | None = None


class Sessions(TolerantModel):
    """Sessions of one user, newest first: at most 1,000, or at most 100 if only active ones were requested."""

    sessions: tuple[SessionRecord, ...]


OPEN_SESSION = declare_auth_rpc(
    "session", "open", OpenSession, SessionTokens, "Log in.", timeout_s=PASSWORD_HASH_TIMEOUT_S
)
REFRESH_SESSION = declare_auth_rpc(
    "session", "refresh", RefreshSession, SessionTokens, "Exchange a refresh token for new tokens."
)
END_SESSION = declare_auth_rpc("session", "end", EndSession, Done, "Log out of one session or of all sessions.")
REVOKE_SESSION = declare_auth_rpc("session", "revoke", RevokeSession, Done, "A user ends one of its sessions.")
LIST_SESSIONS = declare_auth_rpc("session", "list", ListSessions, Sessions, "List the sessions of a user.")

TOPICS = (OPEN_SESSION, REFRESH_SESSION, END_SESSION, REVOKE_SESSION, LIST_SESSIONS)
