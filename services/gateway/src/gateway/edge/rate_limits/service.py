"""Rate limits shared by all replicas, without a database query per request."""

import asyncio
from dataclasses import dataclass
from time import monotonic

from chassis.database.postgres import is_unavailable
from chassis.telemetry.logs import log
from contracts.wire.errors import Unavailable
from gateway.edge.errors import RateLimited
from gateway.edge.rate_limits.domain import Policy, PrefetchedTokens, RateLimitDecision, TokenBucket
from gateway.edge.rate_limits.store import RateLimitStore
from gateway.timeouts import FETCH_TOKENS_TIMEOUT_S

RETRY_S = 1.0  # pause before the database is queried again
RETURN_AFTER_IDLE_S = 1.0  # tokens unused for this long are returned
DROP_AFTER_IDLE_S = 60.0  # local state idle for this long is dropped; its bucket has refilled by then
EMPTY_BUCKET_RETRY_S = 0.02  # shortest interval between queries for an empty bucket
MAX_LOCAL_BUCKETS = 50_000


@dataclass(slots=True)
class _LocalBucket:
    """The state of one bucket in this replica."""

    policy: Policy
    tokens: PrefetchedTokens
    used_at: float
    refill_below: int = -1  # prefetch more when at most this many tokens are left; -1 disables prefetching
    empty_until: float = 0.0
    awaited: int = 0  # tokens that requests wait for
    fetching: asyncio.Task[None] | None = None
    fallback_bucket: TokenBucket | None = None


class RateLimiter:
    """Counts requests in buckets that all replicas share.

    All replicas together allow no more requests than the policy. A replica prefetches up to ``PREFETCH_SHARE`` of the
    remaining tokens; other replicas cannot use these until they are returned, and a killed process loses them.

    Args:
        store: the shared buckets.
        fetch_timeout_s: timeout of a fetch, seconds; after it the database counts as unavailable.
    """

    def __init__(self, store: RateLimitStore, *, fetch_timeout_s: float = FETCH_TOKENS_TIMEOUT_S) -> None:
        self._store, self._fetch_timeout_s = store, fetch_timeout_s
        self._local_buckets: dict[str, _LocalBucket] = {}
        self._unavailable_until = 0.0

    def try_take_cached_tokens(self, key: str, policy: Policy, count: int = 1) -> RateLimitDecision | None:
        """Return the decision; None if it needs a database query."""
        local = self._local_buckets.get(key)
        if local is None or local.policy != policy:
            return None
        now = local.used_at = monotonic()
        decision = local.tokens.take(now, count)
        if decision is None:
            return local.tokens.build_refusal(now, count) if now < local.empty_until else None
        if local.refill_below >= 0 and local.fetching is None and local.tokens.count(now) <= local.refill_below:
            self._start_fetch(key, local)
        return decision

    async def take(self, key: str, policy: Policy, count: int = 1) -> RateLimitDecision:
        """Take ``count`` tokens or none; ``count`` is at most the policy's limit.

        Raises:
            Unavailable: the database is unavailable, and the policy is strict.
        """
        while (decision := self.try_take_cached_tokens(key, policy, count)) is None:
            if self._is_database_unavailable():
                return self._take_locally(key, policy, count)
            local = self._find_local_bucket(key, policy)
            local.awaited += count
            try:
                fetched = await self._wait_for_fetch(key, local)
            finally:
                local.awaited -= count
            if not fetched:
                return self._take_locally(key, policy, count)
        return decision

    def refund(self, key: str) -> None:
        """Return a token that was taken and not used."""
        local = self._local_buckets.get(key)
        if local is not None and local.fallback_bucket is None:
            local.tokens.refund()
            local.empty_until = 0.0

    async def return_idle_tokens(self) -> None:
        """Return idle tokens, and forget unused buckets. Run by a ``chassis.loop.Loop``."""
        await self._return_tokens(idle_s=RETURN_AFTER_IDLE_S)

    async def stop(self) -> None:
        """Return all tokens."""
        fetching = [local.fetching for local in self._local_buckets.values() if local.fetching]
        if fetching:
            await asyncio.wait(fetching, timeout=self._fetch_timeout_s)
        try:
            async with asyncio.timeout(self._fetch_timeout_s):
                await self._return_tokens(idle_s=0)
        except Exception as error:  # noqa: BLE001 - at shutdown, tokens that cannot be returned are lost
            log.warning("gateway.rate_limits.tokens_not_returned", error=type(error).__name__)

    async def _return_tokens(self, *, idle_s: float) -> None:
        now, tokens = monotonic(), dict[str, int]()
        for key, local in list(self._local_buckets.items()):
            if now - local.used_at < idle_s or local.fetching or local.awaited:
                continue
            if taken := local.tokens.remove_all_tokens(now):
                tokens[key] = taken
            elif now - local.used_at >= DROP_AFTER_IDLE_S and now >= local.empty_until:
                del self._local_buckets[key]
        if tokens:
            await self._store.return_tokens(tokens)

    def _find_local_bucket(self, key: str, policy: Policy) -> _LocalBucket:
        """Return the local state of a bucket. State of another policy is discarded."""
        local = self._local_buckets.get(key)
        if local is None or local.policy != policy:
            if local is None and len(self._local_buckets) >= MAX_LOCAL_BUCKETS:
                del self._local_buckets[next(iter(self._local_buckets))]
            local = self._local_buckets[key] = _LocalBucket(policy, PrefetchedTokens(policy), monotonic())
        return local

    async def _wait_for_fetch(self, key: str, local: _LocalBucket) -> bool:
        """Wait for the fetch that concurrent requests share; False if it failed or took too long."""
        task = local.fetching or self._start_fetch(key, local)
        await asyncio.wait({task}, timeout=self._fetch_timeout_s)  # a late result counts, too, so the fetch goes on
        if not task.done():
            self._mark_unavailable("timeout")
        return task.done() and not self._is_database_unavailable()

    def _start_fetch(self, key: str, local: _LocalBucket) -> asyncio.Task[None]:
        task = local.fetching = asyncio.create_task(self._fetch_tokens(key, local), name="gateway.rate_limits.fetch")
        return task

    async def _fetch_tokens(self, key: str, local: _LocalBucket) -> None:
        try:
            prefetched = local.tokens.count(monotonic())
            lease = await self._store.lease_tokens(key, local.policy, needed=local.awaited, prefetched=prefetched)
        except Exception as error:  # noqa: BLE001 - top level of a task; waiting requests are counted locally
            self._mark_unavailable(type(error).__name__, bug=None if is_unavailable(error) else error)
            return
        finally:
            local.fetching = None
        now = monotonic()
        local.tokens.add(lease.taken, lease.left, now)
        local.fallback_bucket, self._unavailable_until = None, 0.0
        local.refill_below = lease.taken // 4 if lease.taken > local.awaited else -1
        local.empty_until = (
            now + max(EMPTY_BUCKET_RETRY_S, local.tokens.compute_refill_wait_s()) if lease.left < 1 else 0.0
        )

    def _is_database_unavailable(self) -> bool:
        """Whether the database counts as unavailable. From time to time one request is let through to find out."""
        now = monotonic()
        if self._unavailable_until == 0.0:
            return False
        if now < self._unavailable_until:
            return True
        self._unavailable_until = now + RETRY_S
        return False

    def _mark_unavailable(self, error: str, *, bug: Exception | None = None) -> None:
        self._unavailable_until = monotonic() + RETRY_S
        log.warning("gateway.rate_limits.database_unavailable", error=error, exc_info=bug)

    def _take_locally(self, key: str, policy: Policy, count: int) -> RateLimitDecision:
        """Take tokens of a bucket in this process.

        Raises:
            Unavailable: the policy is strict.
        """
        if policy.strict:
            raise Unavailable(service="gateway", retry_after_s=1)
        local, now = self._find_local_bucket(key, policy), monotonic()
        local.used_at = now
        if local.fallback_bucket is None:
            local.fallback_bucket = TokenBucket(policy, now)
        return local.fallback_bucket.take(now, count)


def build_rate_limited_refusal(policy: Policy, decision: RateLimitDecision) -> RateLimited:
    """Return the refusal for a decision that does not allow the request."""
    return RateLimited(limit=policy.limit, window=policy.window_s, policy=policy.name, retry_after_s=decision.reset_s)
