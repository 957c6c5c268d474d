"""Who a client is to the API."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Self

from comfyfleet_client.results import Tokens

EARLY = timedelta(seconds=30)  # a token is exchanged before it ends on the way


@dataclass(frozen=True, slots=True)
class Session:
    """A login. ``expires_at`` is when the access token ends."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_at: datetime

    @classmethod
    def of(cls, tokens: Tokens, now: datetime) -> Self:
        """The session that the API just gave."""
        return cls(tokens.access_token, tokens.refresh_token, now + timedelta(seconds=tokens.expires_in))

    def ends_soon(self, now: datetime) -> bool:
        """Whether its access token is worth no more use."""
        return now >= self.expires_at - EARLY


@dataclass(slots=True)
class Credentials:
    """What a client may prove itself with, best first: a key, a token, a session, username and password.

    ``on_session`` is told every session that is opened or goes on, so that it can be kept.
    """

    key: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    session: Session | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    on_session: Callable[[Session], None] | None = None

    @property
    def has_session(self) -> bool:
        """Whether it proves itself with a session, or could open one."""
        lasting = self.key is not None or self.token is not None
        return not lasting and (self.session is not None or self.can_log_in)

    @property
    def can_log_in(self) -> bool:
        """Whether username and password are there."""
        return self.username is not None and self.password is not None

    def keep(self, tokens: Tokens) -> Session:
        """Go on with these."""
        self.session = Session.of(tokens, datetime.now(UTC))
        if self.on_session is not None:
            self.on_session(self.session)
        return self.session

    def headers(self) -> dict[str, str]:
        """What tells the API who asks. Every HTTP library knows not to repeat this one to another host."""
        proof = self.key or self.token or (self.session.access_token if self.session else None)
        return {"Authorization": f"Bearer {proof}"} if proof else {}
