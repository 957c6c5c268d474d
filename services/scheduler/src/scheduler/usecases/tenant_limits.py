"""Caches the limits of tenants, which auth owns."""

from time import monotonic
from typing import NamedTuple
from uuid import UUID

from cachetools import TLRUCache

from chassis.database.postgres import Database
from chassis.messaging.bus import Bus
from chassis.telemetry.logs import log
from contracts.auth.accounts import READ_TENANT, ReadTenant, Tenant, UnknownTenant
from contracts.auth.changes import UserChanged
from contracts.auth.tiers import Limits
from contracts.wire.errors import FAULT_KINDS, RelayedRefusal, Unavailable
from scheduler.store import tenants

SAVED_TIMEOUT_S = 0.5  # timeout of the request to auth for a tenant whose limits are saved
MAX_CACHED = 10_000  # tenants in memory; the limits of all are in the database
REFRESH_PAGE_SIZE = 100  # tenants whose saved limits are refreshed in one pass
NIL_ID = UUID(int=0)
RETRY_S = 5.0  # pause between two requests for a known tenant while auth is unavailable


class _CachedLimits(NamedTuple):
    """Limits, and for how many seconds they are cached."""

    limits: Limits
    cached_for_s: float


class TenantLimits:
    """Saves the limits of tenants in the scheduler's database, so that admission does not depend on auth.

    Changes arrive as events and are saved at once. Because an event may be lost, limits older than ``fresh_s`` seconds
    are requested again. While auth is unavailable, the saved limits apply.
    """

    def __init__(self, database: Database, bus: Bus, *, fresh_s: float) -> None:
        self._database, self._bus, self._fresh_s = database, bus, fresh_s
        self._cached: TLRUCache[UUID, _CachedLimits] = TLRUCache(MAX_CACHED, ttu=_compute_expiry, timer=monotonic)
        self._drops = 0
        self._last_refreshed_id = NIL_ID

    async def refresh_limits(self, tenant_id: UUID) -> Limits:
        """Return the tenant's limits. When this returns, the tenant's row exists and is up to date.

        Raises:
            UnknownTenant: auth knows no such tenant.
            Unavailable: auth is unavailable and the tenant was never seen.
        """
        cached = self._cached.get(tenant_id)
        if cached is not None:
            return cached.limits
        drops = self._drops
        async with self._database.transaction() as connection:
            version = await tenants.load_version(connection, tenant_id)
        tenant = await self._fetch_tenant(tenant_id, is_known=version is not None)
        if tenant is None:
            log.warning("scheduler.limits_stale", tenant=str(tenant_id))
            saved = await self._load_saved_limits(tenant_id)
            self._cache_limits(tenant_id, _CachedLimits(saved, min(self._fresh_s, RETRY_S)), drops)
            return saved
        async with self._database.transaction() as connection:
            await tenants.save_limits(connection, tenant, version=version or 0)
        self._cache_limits(tenant_id, _CachedLimits(tenant.limits, self._fresh_s), drops)
        return tenant.limits

    async def load_limits(self, tenant_id: UUID) -> Limits:
        """Return the cached or saved limits, without a request to auth.

        Raises:
            UnknownTenant: the tenant was never refreshed.
        """
        cached = self._cached.get(tenant_id)
        return cached.limits if cached is not None else await self._load_saved_limits(tenant_id)

    async def apply_change(self, changed: UserChanged) -> None:
        """Save a change of a known tenant. An older version never overwrites a newer one."""
        self.drop_cached_limits(changed.user_id)  # the save may wait for a lock, and auth has the new limits already
        try:
            async with self._database.transaction() as connection:
                await tenants.apply_limit_change(connection, changed)
        finally:  # before the commit, the old limits may have been loaded and cached again
            self.drop_cached_limits(changed.user_id)

    async def refresh_next_saved_limits(self) -> None:
        """Refresh the saved limits of the next ``REFRESH_PAGE_SIZE`` tenants by id, starting over after the last.

        The limits of a tier are not announced per tenant. Without this, a tenant that stops submitting would keep
        the retention that its tier had at its last submission. Does nothing while auth is unavailable.
        """
        async with self._database.connection() as connection:
            page = await tenants.list_tenant_ids(connection, self._last_refreshed_id, page=REFRESH_PAGE_SIZE)
        for tenant_id, version in page:
            try:
                tenant = await self._bus.request(READ_TENANT, ReadTenant(), tenant=str(tenant_id))
            except (Unavailable, RelayedRefusal) as refusal:
                if refusal.details.kind in FAULT_KINDS:
                    return
                continue  # an erased account: its tenant is deleted soon
            async with self._database.connection() as connection:
                await tenants.update_limits(connection, tenant, version=version)
        self._last_refreshed_id = page[-1][0] if len(page) == REFRESH_PAGE_SIZE else NIL_ID

    def drop_cached_limits(self, tenant_id: UUID | None = None) -> None:
        """Drop the cached limits of a tenant, or of all tenants, so that they are requested again."""
        self._drops += 1
        if tenant_id is None:
            self._cached.clear()
        else:
            self._cached.pop(tenant_id, None)

    def _cache_limits(self, tenant_id: UUID, limits: _CachedLimits, drops: int) -> None:
        """Cache limits unless others were dropped since ``drops``: then they may be older than a change."""
        if drops == self._drops:
            self._cached[tenant_id] = limits

    async def _fetch_tenant(self, tenant_id: UUID, *, is_known: bool) -> Tenant | None:
        """Request the tenant from auth; None if auth is unavailable and the tenant is known."""
        within_s = SAVED_TIMEOUT_S if is_known else None
        try:
            return await self._bus.request(READ_TENANT, ReadTenant(), tenant=str(tenant_id), within_s=within_s)
        except (Unavailable, RelayedRefusal) as refusal:
            if not is_known or refusal.details.kind not in FAULT_KINDS:
                raise
        return None

    async def _load_saved_limits(self, tenant_id: UUID) -> Limits:
        async with self._database.connection() as connection:
            limits = await tenants.load_limits(connection, tenant_id)
        if limits is None:
            raise UnknownTenant
        return limits


def _compute_expiry(_tenant_id: UUID, cached: _CachedLimits, now: float) -> float:
    return now + cached.cached_for_s
