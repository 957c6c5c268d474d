"""Refresh tokens: ``cfr_`` and 256 random bits. Each works once; reuse of an old one reveals theft."""

import base64
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

TOKEN_PATTERN = re.compile(r"cfr_[A-Za-z0-9_-]{43}")


def new_refresh_token() -> str:
    return "cfr_" + base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()


def looks_like_refresh_token(text: str) -> bool:
    """Whether the text has the shape of a token, so that a lookup makes sense."""
    return TOKEN_PATTERN.fullmatch(text) is not None


class RefreshTokenPepper:
    """Hashes tokens for storage with HMAC-SHA-256 under a key that is not in the database.

    Args:
        secret_key: the current secret key.
        earlier: earlier secret keys; tokens that were stored under them are still found.
    """

    def __init__(self, secret_key: str, *earlier: str) -> None:
        self._keys = tuple(
            hmac.digest(each.encode(), b"comfyfleet auth refresh_tokens v1", "sha256")
            for each in (secret_key, *earlier)
        )

    def digest(self, token: str) -> bytes:
        """Return 32 bytes that find the token but do not reveal it."""
        return self.list_digests(token)[0]

    def list_digests(self, token: str) -> list[bytes]:
        """Return the digests under which the token may be stored: one for each secret key, the current one first."""
        return [hmac.digest(key, token.encode(), "sha256") for key in self._keys]


class RefreshDecision(Enum):
    """What happens when a refresh token is presented."""

    ROTATE = "rotate"  # start the next generation
    REISSUE = "reissue"  # the reply to the last refresh was probably lost: issue another token of that generation
    REUSED = "reused"  # somebody else probably has the token, too: end the session
    SESSION_ENDED = "session_ended"


@dataclass(frozen=True, slots=True)
class SessionSnapshot:
    """The state of a session, read under its row lock. ``now`` is the transaction's time by the database clock.

    Attributes:
        generation: generation of the refresh tokens that are valid now.
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

    def decide_refresh(self, generation: int, *, idle: timedelta, grace: timedelta) -> RefreshDecision:
        """Decide what happens when a token of this generation is presented now.

        Args:
            generation: generation of the presented token.
            idle: lifetime of a session that is not refreshed.
            grace: how long after a rotation the token that caused it may be presented again. Older tokens never may.
        """
        age = self.now - self.rotated_at
        if self.ended_at is not None or not self.is_active or self.now >= self.expires_at or age >= idle:
            return RefreshDecision.SESSION_ENDED
        if generation == self.generation:
            return RefreshDecision.ROTATE
        if generation == self.generation - 1 and age <= grace:
            return RefreshDecision.REISSUE
        return RefreshDecision.REUSED
