"""Refresh tokens: ``cfr_`` and 256 random bits. Each works once; reuse of an old one reveals theft."""

import base64
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

PATTERN = re.compile(r"cfr_[A-Za-z0-9_-]{43}")


def new_refresh_token() -> str:
    return "cfr_" + base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()


def looks_like_refresh_token(text: str) -> bool:
    """Whether the text has the shape of a token, so that a lookup makes sense."""
    return PATTERN.fullmatch(text) is not None


class RefreshPepper:
    """Hashes tokens for storage with HMAC-SHA-256 under a key that is not in the database.

    Args:
        secret_key: the secret key that hashes.
        earlier: secret keys that hashed before, whose tokens are still found.
    """

    def __init__(self, secret_key: str, *earlier: str) -> None:
        self._keys = tuple(
            hmac.digest(each.encode(), b"comfyfleet auth refresh_tokens v1", "sha256")
            for each in (secret_key, *earlier)
        )

    def digest(self, token: str) -> bytes:
        """Return 32 bytes that find the token but do not reveal it."""
        return self.digests(token)[0]

    def digests(self, token: str) -> list[bytes]:
        """Return the digests under which the token may be stored."""
        return [hmac.digest(key, token.encode(), "sha256") for key in self._keys]


class RefreshDecision(Enum):
    """The effect of presenting a refresh token."""

    ROTATE = "rotate"  # start the next generation
    REISSUE = "reissue"  # the reply to the last use was lost: issue another token of the generation it started
    REUSED = "reused"  # reused: two parties hold it, so the session ends
    SESSION_ENDED = "session_ended"  # the session is over


@dataclass(frozen=True, slots=True)
class LockedSession:
    """A session under its lock. ``now`` is the transaction's time by the database clock.

    Attributes:
        generation: of the tokens that currently work.
        rotated_at: when that generation began.
        expires_at: when the session ends regardless of refreshes.
        is_active: whether its user is active.
    """

    generation: int
    rotated_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    is_active: bool
    now: datetime

    def decide(self, generation: int, *, idle: timedelta, grace: timedelta) -> RefreshDecision:
        """Decide what a token of this generation does now.

        Args:
            generation: of the presented token.
            idle: lifetime of a session that is not refreshed.
            grace: how long after a rotation the token that caused it, and no older one, may be presented again.
        """
        since = self.now - self.rotated_at
        if self.ended_at is not None or not self.is_active or self.now >= self.expires_at or since >= idle:
            return RefreshDecision.SESSION_ENDED
        if generation == self.generation:
            return RefreshDecision.ROTATE
        if generation == self.generation - 1 and since <= grace:
            return RefreshDecision.REISSUE
        return RefreshDecision.REUSED
