"""The latest known state of users, applied to cached credentials."""

from datetime import UTC, datetime
from time import time
from types import MappingProxyType
from uuid import UUID

from contracts.auth.changes import UserChanged
from contracts.auth.credentials import Principal, scopes_of
from contracts.auth.tiers import Limits, Tier, TierLimits

KEPT_S = 3600.0  # seconds; longer than the lifetime of tokens and cached keys
AT_MOST = 50_000  # users, ended sessions and keys in memory; the oldest are dropped first

Heard = tuple[UserChanged, float]


class UserStates:
    """Applies changes in any order and any number of times; for each user the highest version wins.

    Attributes:
        tiers: limits of users without overrides. Replaced by a new object after every change.
    """

    def __init__(self) -> None:
        self.tiers = MappingProxyType[Tier, Limits]({})
        self._users: dict[UUID, Heard] = {}
        self._ended: dict[UUID | str, float] = {}  # ended sessions and keys, by id

    def learn(self, change: UserChanged) -> None:
        """Apply a user change. Known versions are ignored."""
        now = time()
        fresh = {ended for ended in (change.ended_session, change.revoked_key) if ended} - self._ended.keys()
        self._ended |= dict.fromkeys(fresh, now)
        newest = self._users.get(change.user_id)
        if newest and newest[0].version >= change.version:
            if not fresh:
                return
            change = newest[0]
        self._users.pop(change.user_id, None)  # oldest first
        self._users[change.user_id] = (change, now)
        self._forget(now)

    def learn_tier(self, said: TierLimits) -> None:
        """Apply a tier change."""
        if self.tiers.get(said.tier) != said.limits:
            self.tiers = MappingProxyType({**self.tiers, said.tier: said.limits})

    def of(self, user_id: UUID) -> Heard | None:
        """Return the last change of a user: the same object until a newer one arrives."""
        return self._users.get(user_id)

    def ended(self, principal: Principal) -> bool:
        """Whether the principal's credential has ended."""
        if principal.expires_at is not None and principal.expires_at <= datetime.now(UTC):
            return True
        if principal.key_id in self._ended or principal.session_id in self._ended:
            return True
        heard = self._users.get(principal.user_id)
        if heard is None or heard[0].version < principal.version:
            return False
        return not heard[0].is_active or (principal.key_id is None and self.outdated(principal))

    def outdated(self, principal: Principal) -> bool:
        """Whether credentials ended since this state: that voids a token and requires verifying a key again."""
        heard = self._users.get(principal.user_id)
        return heard is not None and principal.version < heard[0].tokens_from

    def current(self, principal: Principal) -> Principal:
        """Return the principal with the latest known tier, role, scopes and limits."""
        heard = self._users.get(principal.user_id)
        if heard is not None and heard[0].version > principal.version:
            user = heard[0]
            allowed = scopes_of(user.role)
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

    def _forget(self, now: float) -> None:
        while len(self._users) > AT_MOST or next(iter(self._users.values()))[1] < now - KEPT_S:
            del self._users[next(iter(self._users))]
        while self._ended and (len(self._ended) > AT_MOST or next(iter(self._ended.values())) < now - KEPT_S):
            del self._ended[next(iter(self._ended))]
