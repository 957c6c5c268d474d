"""Credentials of a client."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Self

from comfyfleet_client.results import Tokens

REFRESH_EARLY = timedelta(seconds=30)  # seconds before expiry at which a token is refreshed


@dataclass(frozen=True, slots=True)
class Session:
    """A login. ``expires_at`` is when the access token expires."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_at: datetime

    @classmethod
    def from_tokens(cls, tokens: Tokens, now: datetime) -> Self:
        """Return the session in a login response."""
        return cls(tokens.access_token, tokens.refresh_token, now + timedelta(seconds=tokens.expires_in))

    def is_expiring(self, now: datetime) -> bool:
        """Whether the access token should be refreshed before use."""
        return now >= self.expires_at - REFRESH_EARLY


@dataclass(slots=True)
class Credentials:
    """The credentials of a client, in order of preference: key, token, session, username and password.

    ``on_session`` is called with every session that is opened or refreshed, so that it can be stored. ``lock_session``
    locks the stored session for as long as a refresh takes, and returns it; None if there is none.
    """

    key: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    session: Session | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    on_session: Callable[[Session], None] | None = None
    lock_session: Callable[[], AbstractContextManager[Session | None]] = nullcontext

    @property
    def has_session(self) -> bool:
        """Whether the client uses a session, or can open one."""
        has_fixed_credential = self.key is not None or self.token is not None
        return not has_fixed_credential and (self.session is not None or self.can_log_in)

    @property
    def can_log_in(self) -> bool:
        """Whether there are a username and a password."""
        return self.username is not None and self.password is not None

    def store_tokens(self, tokens: Tokens) -> Session:
        """Use these credentials from now on."""
        self.session = Session.from_tokens(tokens, datetime.now(UTC))
        if self.on_session is not None:
            self.on_session(self.session)
        return self.session

    def headers(self) -> dict[str, str]:
        """Return the authentication header. HTTP libraries do not forward this header to other hosts."""
        credential = self.key or self.token or (self.session.access_token if self.session else None)
        return {"Authorization": f"Bearer {credential}"} if credential else {}
