"""How users stand by auth's last word, to be laid over what was true when a credential was verified."""

from datetime import UTC, datetime
from time import time
from types import MappingProxyType
from uuid import UUID

from contracts.auth import Limits, Principal, Tier, TierLimits, UserChanged, scopes_of

KEPT_S = 3600.0  # longer than any token lives and any key is believed without asking
AT_MOST = 50_000  # users, and ended sessions and keys, that are kept; the oldest go first

Heard = tuple[UserChanged, float]


class Standing:
    """Takes changes in any order and any number of times; of each user the one with the highest version counts.

    Attributes:
        tiers: limits of those without own ones. Another object after every change.
    """

    def __init__(self) -> None:
        self.tiers = MappingProxyType[Tier, Limits]({})
        self._users: dict[UUID, Heard] = {}
        self._ended: dict[UUID | str, float] = {}  # sessions and keys, by id

    def learn(self, change: UserChanged) -> None:
        """A user changed. What is known already changes nothing."""
        now = time()
        fresh = {ended for ended in (change.ended_session, change.revoked_key) if ended} - self._ended.keys()
        self._ended |= dict.fromkeys(fresh, now)
        newest = self._users.get(change.user_id)
        if newest and newest[0].version >= change.version:
            if not fresh:
                return
            change = newest[0]
        self._users.pop(change.user_id, None)  # the oldest come first
        self._users[change.user_id] = (change, now)
        self._forget(now)

    def learn_tier(self, said: TierLimits) -> None:
        """A tier has these limits now."""
        if self.tiers.get(said.tier) != said.limits:
            self.tiers = MappingProxyType({**self.tiers, said.tier: said.limits})

    def of(self, user_id: UUID) -> Heard | None:
        """What was heard of a user: the same object for as long as it is the last word."""
        return self._users.get(user_id)

    def ended(self, principal: Principal) -> bool:
        """Whether its credential is good no more."""
        if principal.expires_at is not None and principal.expires_at <= datetime.now(UTC):
            return True
        if principal.key_id in self._ended or principal.session_id in self._ended:
            return True
        heard = self._users.get(principal.user_id)
        if heard is None or heard[0].version < principal.version:
            return False
        return not heard[0].is_active or (principal.key_id is None and self.outdated(principal))

    def outdated(self, principal: Principal) -> bool:
        """Whether something has ended since auth said this: it voids a token, and asks for a second look at a key."""
        heard = self._users.get(principal.user_id)
        return heard is not None and principal.version < heard[0].tokens_from

    def current(self, principal: Principal) -> Principal:
        """The principal with the newest tier, role, scopes and limits that are known."""
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
