"""The latest known state of users, applied to cached credentials."""

from datetime import UTC, datetime
from time import time
from types import MappingProxyType
from uuid import UUID

from contracts.auth.changes import UserChanged
from contracts.auth.credentials import Principal, list_scopes
from contracts.auth.tiers import Limits, Tier, TierLimits

MAX_AGE_S = 3600.0  # seconds; longer than the lifetime of tokens and cached keys
MAX_ENTRIES = 50_000  # users, ended sessions and keys in memory; the oldest are dropped first

ReceivedUserChange = tuple[UserChanged, float]


class UserStates:
    """Applies changes in any order and any number of times; for each user the highest version wins.

    Attributes:
        tiers: limits of users without overrides. Replaced by a new object after every change.
    """

    def __init__(self) -> None:
        self.tiers = MappingProxyType[Tier, Limits]({})
        self._users: dict[UUID, ReceivedUserChange] = {}
        self._ended: dict[UUID | str, float] = {}  # ended sessions and keys, by id

    def apply_user_change(self, change: UserChanged) -> None:
        """Apply a user change. Known versions are ignored."""
        now = time()
        newly_ended = {ended for ended in (change.ended_session, change.revoked_key) if ended} - self._ended.keys()
        self._ended |= dict.fromkeys(newly_ended, now)
        newest = self._users.get(change.user_id)
        if newest and newest[0].version >= change.version:
            if not newly_ended:
                return
            change = newest[0]
        self._users.pop(change.user_id, None)  # oldest first
        self._users[change.user_id] = (change, now)
        self._drop_oldest(now)

    def apply_tier_change(self, change: TierLimits) -> None:
        if self.tiers.get(change.tier) != change.limits:
            self.tiers = MappingProxyType({**self.tiers, change.tier: change.limits})

    def find_last_change(self, user_id: UUID) -> ReceivedUserChange | None:
        """Return the last change of a user: the same object until a newer one arrives."""
        return self._users.get(user_id)

    def has_ended(self, principal: Principal) -> bool:
        """Whether the principal's credential has ended."""
        if principal.expires_at is not None and principal.expires_at <= datetime.now(UTC):
            return True
        if principal.key_id in self._ended or principal.session_id in self._ended:
            return True
        received = self._users.get(principal.user_id)
        if received is None or received[0].version < principal.version:
            return False
        return not received[0].is_active or (principal.key_id is None and self.is_outdated(principal))

    def is_outdated(self, principal: Principal) -> bool:
        """Whether credentials of the user were revoked after this principal was built.

        If so, an access token is invalid, and an API key must be verified again.
        """
        received = self._users.get(principal.user_id)
        return received is not None and principal.version < received[0].tokens_from

    def update_principal(self, principal: Principal) -> Principal:
        """Return the principal with the latest known tier, role, scopes and limits."""
        received = self._users.get(principal.user_id)
        if received is not None and received[0].version > principal.version:
            user = received[0]
            allowed = list_scopes(user.role)
            scopes = allowed if principal.key_id is None else tuple(one for one in principal.scopes if one in allowed)
            principal = principal.model_copy(
                update={
                    "tier": user.tier, "role": user.role, "scopes": scopes, "version": user.version,
                    "requests_per_minute": user.limits.requests_per_minute, "own_limits": user.own_limits,
                }
            )  # fmt: skip
        limits = None if principal.own_limits else self.tiers.get(principal.tier)
        if limits is None or limits.requests_per_minute == principal.requests_per_minute:
            return principal
        return principal.model_copy(update={"requests_per_minute": limits.requests_per_minute})

    def _drop_oldest(self, now: float) -> None:
        while len(self._users) > MAX_ENTRIES or next(iter(self._users.values()))[1] < now - MAX_AGE_S:
            del self._users[next(iter(self._users))]
        while self._ended and (len(self._ended) > MAX_ENTRIES or next(iter(self._ended.values())) < now - MAX_AGE_S):
            del self._ended[next(iter(self._ended))]
