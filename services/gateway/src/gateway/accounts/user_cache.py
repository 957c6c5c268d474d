"""The current user's account, limits and usage, cached because clients poll them."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from cachetools import LRUCache

from chassis.messaging.bus import Bus
from contracts.auth.accounts import READ_ACCOUNT, Account, ReadAccount
from contracts.auth.credentials import Principal
from contracts.auth.tiers import Limits
from contracts.scheduler.usage import READ_TENANT_USAGE, ReadTenantUsage, TenantUsage
from gateway.accounts.schemas import MeBody, build_me_body
from gateway.caching import StaleWhileRevalidateCache

ACCOUNT_FRESH_S, USAGE_FRESH_S = 30.0, 1.0
MAX_CACHED_USERS = 10_000


@dataclass(slots=True, eq=False)
class _CachedUser:
    """Cached data of one user. ``account`` is at least as new as ``version``."""

    version: int = -1
    account: StaleWhileRevalidateCache[Account] = field(
        default_factory=lambda: StaleWhileRevalidateCache(ACCOUNT_FRESH_S)
    )
    usage: StaleWhileRevalidateCache[TenantUsage] = field(
        default_factory=lambda: StaleWhileRevalidateCache(USAGE_FRESH_S)
    )


class UserCache:
    """Caches account and usage of each user, for ``GET /auth/me`` and for checks of limits.

    An account is cached for ``ACCOUNT_FRESH_S`` or until the user or a tier changes, and longer while auth is
    unavailable. Usage is cached for ``USAGE_FRESH_S`` or until this gateway changes it, and until the end of the day
    while the scheduler is unavailable.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._users: LRUCache[UUID, _CachedUser] = LRUCache(maxsize=MAX_CACHED_USERS)

    async def read_user(self, principal: Principal) -> MeBody:
        """Return the account, its limits and its usage. Concurrent calls for the same user share one request.

        Raises:
            Unavailable: auth or the scheduler is unavailable, and nothing is cached.
        """
        cached, account = await self._read_account(principal)
        if cached.usage.value is not None and cached.usage.value.quota.resets_at <= datetime.now(UTC):
            cached.usage.clear()  # it counts yesterday's images
        usage = await cached.usage.get(lambda within_s: self._load_usage(principal.user_id, within_s))
        return build_me_body(account, usage)

    async def read_limits(self, principal: Principal) -> Limits:
        """Return the user's limits.

        Raises:
            Unavailable: auth is unavailable, and nothing is cached.
        """
        return (await self._read_account(principal))[1].limits

    async def read_limits_by_id(self, user_id: UUID) -> Limits:
        """Return the limits of a user by id. If a change event was missed, they are at most ``ACCOUNT_FRESH_S`` old.

        Raises:
            UnknownUser: there is no user with this id.
            Unavailable: auth is unavailable, and nothing is cached.
        """
        cached = self._users.setdefault(user_id, _CachedUser())
        return (await cached.account.get(lambda within_s: self._load_account(user_id, within_s))).limits

    async def _read_account(self, principal: Principal) -> tuple[_CachedUser, Account]:
        cached = self._users.setdefault(principal.user_id, _CachedUser())
        if cached.version < principal.version:
            cached.version = principal.version
            cached.account.expire()
        return cached, await cached.account.get(lambda within_s: self._load_account(principal.user_id, within_s))

    def drop_cached_usage(self, user_id: UUID) -> None:
        """Invalidate the cached usage of a user."""
        cached = self._users.get(user_id)
        if cached is not None:
            cached.usage.clear()

    def invalidate_all_accounts(self) -> None:
        """Invalidate every cached account: the limits of a tier changed."""
        for cached in self._users.values():
            cached.account.expire()

    def invalidate_account(self, user_id: UUID) -> None:
        """Invalidate the cached account of a user."""
        cached = self._users.get(user_id)
        if cached is not None:
            cached.account.expire()

    async def _load_account(self, user_id: UUID, within_s: float | None) -> Account:
        return await self._bus.request(READ_ACCOUNT, ReadAccount(), tenant=str(user_id), within_s=within_s)

    async def _load_usage(self, user_id: UUID, within_s: float | None) -> TenantUsage:
        return await self._bus.request(READ_TENANT_USAGE, ReadTenantUsage(), tenant=str(user_id), within_s=within_s)
