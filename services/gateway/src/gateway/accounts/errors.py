"""Errors of requests that need a login session."""

from contracts.auth.credentials import Principal
from contracts.wire.errors import ErrorKind, Refusal


class SessionNeeded(Refusal):
    """This request needs the access token of a login. An API key is not enough. Log in first."""

    kind, code = ErrorKind.FORBIDDEN, "auth.session.needed"


class ForeignPage(Refusal):
    """Only pages of this server can keep a session in a cookie. Other clients send the refresh token in the body."""

    kind, code = ErrorKind.FORBIDDEN, "auth.session.foreign_page"


def require_session(principal: Principal) -> None:
    """Raise SessionNeeded if the credential is an API key."""
    if principal.session_id is None:
        raise SessionNeeded
