"""The current user's account, limits and use, cached because clients poll them."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from cachetools import LRUCache

from chassis.messaging.bus import Bus
from contracts.auth.accounts import READ_ACCOUNT, Account, ReadAccount
from contracts.auth.credentials import Principal
from contracts.auth.tiers import Limits
from contracts.scheduler.usage import READ_TENANT_USAGE, ReadTenantUsage, TenantUsage
from gateway.accounts.schemas import MeBody, present_me
from gateway.caching import StaleWhileRevalidateCache

ACCOUNT_S, USE_S = 30.0, 1.0
AT_MOST = 10_000  # users in the cache


@dataclass(slots=True, eq=False)
class _CachedUser:
    """Cached data of one user. ``account`` is at least as new as ``version``."""

    version: int = -1
    account: StaleWhileRevalidateCache[Account] = field(default_factory=lambda: StaleWhileRevalidateCache(ACCOUNT_S))
    use: StaleWhileRevalidateCache[TenantUsage] = field(default_factory=lambda: StaleWhileRevalidateCache(USE_S))


class UserCache:
    """Caches account and use of each user for ``GET /auth/me`` and for limits.

    An account is cached for ``ACCOUNT_S`` or until the user or a tier changes, and longer while auth is unavailable.
    Use is cached for ``USE_S`` or until this gateway changes it, and until the end of the day while the scheduler is
    unavailable.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._users: LRUCache[UUID, _CachedUser] = LRUCache(maxsize=AT_MOST)

    async def read_user(self, who: Principal) -> MeBody:
        """Return the account, its limits and its use. Concurrent calls for the same user share one request.

        Raises:
            Unavailable: auth or the scheduler is unavailable, and nothing is cached.
        """
        known, account = await self._read_account(who)
        if known.use.value is not None and known.use.value.quota.resets_at <= datetime.now(UTC):
            known.use.clear()  # it counts yesterday's images
        use = await known.use.get(lambda within_s: self._load_usage(who.user_id, within_s))
        return present_me(account, use)

    async def limits(self, who: Principal) -> Limits:
        """Return the user's limits.

        Raises:
            Unavailable: auth is unavailable, and nothing is cached.
        """
        return (await self._read_account(who))[1].limits

    async def read_limits_by_id(self, user_id: UUID) -> Limits:
        """Return the limits of a user by id, at most ``ACCOUNT_S`` old where a change event was missed.

        Raises:
            UnknownUser: there is no user with this id.
            Unavailable: auth is unavailable, and nothing is cached.
        """
        known = self._users.setdefault(user_id, _CachedUser())
        return (await known.account.get(lambda within_s: self._load_account(user_id, within_s))).limits

    async def _read_account(self, who: Principal) -> tuple[_CachedUser, Account]:
        known = self._users.setdefault(who.user_id, _CachedUser())
        if known.version < who.version:
            known.version = who.version
            known.account.expire()
        return known, await known.account.get(lambda within_s: self._load_account(who.user_id, within_s))

    def drop_cached_usage(self, user_id: UUID) -> None:
        """Invalidate the cached use of a user."""
        known = self._users.get(user_id)
        if known is not None:
            known.use.clear()

    def expire_all_accounts(self) -> None:
        """Invalidate every cached account: the limits of a tier changed."""
        for known in self._users.values():
            known.account.expire()

    def user_changed(self, user_id: UUID) -> None:
        """Invalidate the cached account of a user."""
        known = self._users.get(user_id)
        if known is not None:
            known.account.expire()

    async def _load_account(self, user_id: UUID, within_s: float | None) -> Account:
        return await self._bus.request(READ_ACCOUNT, ReadAccount(), tenant=str(user_id), within_s=within_s)

    async def _load_usage(self, user_id: UUID, within_s: float | None) -> TenantUsage:
        return await self._bus.request(READ_TENANT_USAGE, ReadTenantUsage(), tenant=str(user_id), within_s=within_s)
