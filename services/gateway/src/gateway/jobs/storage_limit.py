"""The limit on the stored results of a tenant."""

from uuid import UUID

from cachetools import LRUCache

from chassis.database.postgres import is_unavailable
from chassis.telemetry.logs import log
from contracts.auth.tiers import Limits
from contracts.wire.errors import ErrorKind, Refusal, Unavailable
from gateway.accounts.user_cache import UserCache
from gateway.caching import StaleWhileRevalidateCache
from gateway.jobs.errors import ResultStorageFull
from gateway.storage.artifacts import ArtifactRecords

CACHE_S = 5.0  # how long a sum is cached
MAX_CACHED_TENANTS = 10_000


class ResultStorageLimit:
    """Compares the size of a tenant's stored outputs with its limit ``result_bytes``.

    Tenants without that limit cost only a cache lookup. If auth or the database is unavailable, nothing is refused.
    """

    def __init__(self, users: UserCache, artifacts: ArtifactRecords) -> None:
        self._users, self._artifacts = users, artifacts
        self._stored_bytes: LRUCache[UUID, StaleWhileRevalidateCache[int]] = LRUCache(maxsize=MAX_CACHED_TENANTS)

    async def check_limit(self, tenant: str) -> None:
        """Refuse a job if the tenant's stored outputs have reached the limit.

        Raises:
            ResultStorageFull: the limit is reached.
        """
        tenant_id = UUID(tenant)
        limits = await self._load_limits(tenant_id)
        if limits is None or limits.result_bytes is None:
            return
        stored_bytes = self._stored_bytes.setdefault(tenant_id, StaleWhileRevalidateCache(CACHE_S))
        try:
            size = await stored_bytes.get(lambda _: self._load_stored_bytes(tenant_id))
        except Unavailable:
            return
        if size >= limits.result_bytes:
            stored_bytes.clear()  # the client will probably purge jobs now
            raise ResultStorageFull(stored=size, limit=limits.result_bytes)

    async def _load_limits(self, tenant_id: UUID) -> Limits | None:
        try:
            return await self._users.read_limits_by_id(tenant_id)
        except Refusal as refusal:
            if refusal.details.kind is not ErrorKind.UNAVAILABLE:
                log.warning("gateway.limits.unknown", tenant=str(tenant_id), code=refusal.details.code)
            return None

    async def _load_stored_bytes(self, tenant_id: UUID) -> int:
        try:
            return await self._artifacts.sum_bytes(tenant_id)
        except Exception as error:
            if is_unavailable(error):
                raise Unavailable(service="gateway", retry_after_s=1) from error
            raise
