"""Refusals of accounts and sessions."""

from contracts.wire.errors import Kind, Refusal


class SessionNeeded(Refusal):
    """This request needs the access token of a login. An API key is not enough. Log in first."""

    kind, code = Kind.FORBIDDEN, "auth.session.needed"
