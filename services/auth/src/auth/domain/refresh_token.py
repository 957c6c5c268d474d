"""Refresh tokens: ``cfr_`` and 256 random bits. Each works once; one that comes back later gives a theft away."""

import base64
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

SHAPE = re.compile(r"cfr_[A-Za-z0-9_-]{43}")


def new_refresh_token() -> str:
    """A fresh token that nobody can guess."""
    return "cfr_" + base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b"=").decode()


def looks_like_refresh_token(text: str) -> bool:
    """Whether a look-up is worth its while."""
    return SHAPE.fullmatch(text) is not None


class RefreshPepper:
    """Turns tokens into what may be stored: HMAC-SHA-256 under a key that the database never sees."""

    def __init__(self, secret_key: str) -> None:
        self._key = hmac.digest(secret_key.encode(), b"comfyfleet auth refresh_tokens v1", "sha256")

    def digest(self, token: str) -> bytes:
        """32 bytes that find the token and do not give it away."""
        return hmac.digest(self._key, token.encode(), "sha256")


class Use(Enum):
    """What presenting a refresh token comes to."""

    ROTATES = "rotates"  # the next generation begins
    SIBLING = "sibling"  # the answer to the last use was lost: one more of the generation that it began
    REUSED = "reused"  # spent: it is in two hands, and the family ends
    VOID = "void"  # the session is over


@dataclass(frozen=True, slots=True)
class Family:
    """A session under its lock. ``now`` is the transaction's time by the database's clock, which alone counts.

    Attributes:
        generation: of the tokens that work.
        rotated_at: when that generation began.
        expires_at: when the session ends, however often it is refreshed.
        is_active: whether its user is.
    """

    generation: int
    rotated_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    is_active: bool
    now: datetime

    def use_of(self, generation: int, *, idle: timedelta, grace: timedelta) -> Use:
        """What a token of this generation may do now.

        Args:
            generation: of the token.
            idle: how long a session lives without being refreshed.
            grace: how long after a rotation the token that caused it, and no older one, is forgiven.
        """
        since = self.now - self.rotated_at
        if self.ended_at is not None or not self.is_active or self.now >= self.expires_at or since >= idle:
            return Use.VOID
        if generation == self.generation:
            return Use.ROTATES
        if generation == self.generation - 1 and since <= grace:
            return Use.SIBLING
        return Use.REUSED
