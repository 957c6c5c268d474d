"""Users, and the keys that speak for them."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from contracts.auth import Role, Tier

ALL_SCOPES = ("jobs",)


@dataclass(frozen=True, slots=True)
class User:
    """One account. The tenant that is billed and limited is the user."""

    id: UUID
    username: str
    tier: Tier
    role: Role
    is_active: bool


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as it is kept."""

    id: str
    digest: bytes
    scopes: tuple[str, ...]
    expires_at: datetime | None
    revoked_at: datetime | None
    user: User

    def works_at(self, now: datetime) -> bool:
        """Whether the key may be used at this moment."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at) and self.user.is_active
