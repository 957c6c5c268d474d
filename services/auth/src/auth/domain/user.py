"""Users and their API keys."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from contracts.auth.accounts import Account, Role
from contracts.auth.accounts import User as PublicUser
from contracts.auth.changes import UserChanged
from contracts.auth.credentials import Principal, Scope, list_scopes
from contracts.auth.keys import Key
from contracts.auth.tiers import Limits, Tier

RATE_LIMIT = "requests_per_minute"  # the only limit that the public services enforce themselves
IMAGE_QUOTA = "images_per_day"


@dataclass(frozen=True, slots=True)
class User:
    """One account. The user is also the tenant that is billed and limited.

    Attributes:
        version: increases with every change that the public services must learn of.
        tokens_from: access tokens with a lower version are void.
        limits: effective limits: those of the tier, overridden by the user's own.
        own_limits: names of the limits that override the tier.
        address_group: shared by accounts registered from the same address, whether or not they share a quota now.
    """

    id: UUID
    username: str
    email: str
    tier: Tier
    role: Role
    is_active: bool
    created_at: datetime
    version: int
    tokens_from: int
    limits: Limits
    own_limits: tuple[str, ...] = ()
    address_group: UUID | None = None

    @property
    def quota_group(self) -> UUID | None:
        """The group that shares the user's daily image quota.

        None in tiers other than ``free``, and for a user with an individual image quota.
        """
        return self.address_group if self.tier is Tier.FREE and IMAGE_QUOTA not in self.own_limits else None

    @property
    def has_own_rate(self) -> bool:
        """Whether the user's request rate overrides the tier's."""
        return RATE_LIMIT in self.own_limits

    def to_account(self) -> Account:
        """Return the account as its owner and admins see it."""
        user = PublicUser(
            id=self.id,
            username=self.username,
            email=self.email,
            tier=self.tier,
            role=self.role,
            is_active=self.is_active,
            created_at=self.created_at,
        )
        return Account(
            user=user, limits=self.limits, own_limits=self.own_limits, shares_quota=self.quota_group is not None
        )

    def to_change(self, at: datetime, *, ended_session: UUID | None, revoked_key: str | None) -> UserChanged:
        """Build the ``UserChanged`` event that tells the public services about a change to this user."""
        return UserChanged(
            user_id=self.id,
            version=self.version,
            tokens_from=self.tokens_from,
            is_active=self.is_active,
            tier=self.tier,
            role=self.role,
            limits=self.limits,
            own_limits=self.has_own_rate,
            ended_session=ended_session,
            revoked_key=revoked_key,
            quota_group=self.quota_group,
            at=at,
        )


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A stored key. ``is_usable``: neither revoked nor expired, and its user is active."""

    id: str
    digest: bytes
    pepper_id: str | None
    scopes: tuple[Scope, ...]
    expires_at: datetime | None
    is_usable: bool
    user: User

    def to_principal(self) -> Principal:
        """Return the principal: its scopes are those of the key that the user's role still allows."""
        user = self.user
        return Principal(
            user_id=user.id,
            username=user.username,
            tier=user.tier,
            role=user.role,
            scopes=tuple(scope for scope in list_scopes(user.role) if scope in self.scopes),
            requests_per_minute=user.limits.requests_per_minute,
            own_limits=user.has_own_rate,
            version=user.version,
            key_id=self.id,
            expires_at=self.expires_at,
        )


def build_listed_key(
    *,
    id: str,  # noqa: A002 - as the column and the contract call it
    name: str,
    scopes: tuple[Scope, ...],
    expires_at: datetime | None,
    created_at: datetime,
    last_used_at: datetime | None = None,
) -> Key:
    """Return a key as lists show it, without its secret."""
    return Key(
        id=id,
        name=name,
        prefix=f"cf_{id}",
        scopes=scopes,
        expires_at=expires_at,
        created_at=created_at,
        last_used_at=last_used_at,
    )
