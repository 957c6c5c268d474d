"""Rate limits shared by all replicas, without a database query per request."""

import asyncio
from dataclasses import dataclass
from time import monotonic

from chassis.database.postgres import is_unavailable
from chassis.telemetry.logs import log
from contracts.wire.errors import Unavailable
from gateway.edge.errors import RateLimited
from gateway.edge.rate_limits.domain import Bucket, Policy, PrefetchedTokens, RateLimitDecision
from gateway.edge.rate_limits.store import RateLimitStore

DRAW_S = 1.0  # timeout of a fetch; after it the database counts as unavailable
AWAY_S = 1.0  # pause before the database is queried again
IDLE_S = 1.0  # tokens unused for so long are returned
FORGET_S = 60.0  # local state unused for so long is dropped; a local bucket is full again by then
EMPTY_S = 0.02  # shortest interval between queries for an empty bucket
AT_MOST = 50_000  # buckets with local state


@dataclass(slots=True)
class _Local:
    """The state of one bucket in this replica."""

    policy: Policy
    hand: PrefetchedTokens
    used_at: float
    low: int = -1  # prefetch more when so few tokens are left; -1 disables prefetching
    empty_until: float = 0.0
    waiting: int = 0  # tokens that requests wait for
    drawing: asyncio.Task[None] | None = None
    alone: Bucket | None = None


class RateLimiter:
    """Counts requests in buckets that all replicas share.

    All replicas together allow no more requests than the policy. A replica prefetches up to ``SHARE`` of the remaining
    tokens; other replicas cannot use these until they are returned, and a killed process loses them.
    """

    def __init__(self, buckets: RateLimitStore) -> None:
        self._buckets = buckets
        self._locals: dict[str, _Local] = {}
        self._away_until = 0.0

    def take_now(self, key: str, policy: Policy, count: int = 1) -> RateLimitDecision | None:
        """The decision if no database query is needed for it, else None."""
        local = self._locals.get(key)
        if local is None or local.policy != policy:
            return None
        now = local.used_at = monotonic()
        verdict = local.hand.take(now, count)
        if verdict is None:
            return local.hand.refuse(now, count) if now < local.empty_until else None
        if local.low >= 0 and local.drawing is None and local.hand.held(now) <= local.low:
            self._draw(key, local)
        return verdict

    async def take(self, key: str, policy: Policy, count: int = 1) -> RateLimitDecision:
        """Take ``count`` tokens or none; ``count`` is at most the policy's limit.

        Raises:
            Unavailable: the database is unavailable, and the policy is strict.
        """
        while (verdict := self.take_now(key, policy, count)) is None:
            if self._alone():
                return self._take_alone(key, policy, count)
            local = self._local(key, policy)
            local.waiting += count
            try:
                done = await self._drawn(key, local)
            finally:
                local.waiting -= count
            if not done:
                return self._take_alone(key, policy, count)
        return verdict

    def back(self, key: str) -> None:
        """Return a token that was taken and not used."""
        local = self._locals.get(key)
        if local is not None and local.alone is None:
            local.hand.back()
            local.empty_until = 0.0

    async def tidy(self) -> None:
        """Return idle tokens, and forget unused buckets. Run by a ``chassis.loop.Loop``."""
        await self._give_back(idle_s=IDLE_S)

    async def stop(self) -> None:
        """Return all tokens."""
        drawing = [local.drawing for local in self._locals.values() if local.drawing]
        if drawing:
            await asyncio.wait(drawing, timeout=DRAW_S)
        try:
            async with asyncio.timeout(DRAW_S):
                await self._give_back(idle_s=0)
        except Exception as error:  # noqa: BLE001 - the end of the process: what is not given back is lost
            log.warning("gateway.rate_limits.tokens_not_returned", error=type(error).__name__)

    async def _give_back(self, *, idle_s: float) -> None:
        now, tokens = monotonic(), dict[str, int]()
        for key, local in list(self._locals.items()):
            if now - local.used_at < idle_s or local.drawing or local.waiting:
                continue
            if held := local.hand.all(now):
                tokens[key] = held
            elif now - local.used_at >= FORGET_S and now >= local.empty_until:
                del self._locals[key]
        if tokens:
            await self._buckets.give_back(tokens)

    def _local(self, key: str, policy: Policy) -> _Local:
        """The local state of a bucket. State of another policy is discarded."""
        local = self._locals.get(key)
        if local is None or local.policy != policy:
            if local is None and len(self._locals) >= AT_MOST:
                del self._locals[next(iter(self._locals))]
            local = self._locals[key] = _Local(policy, PrefetchedTokens(policy), monotonic())
        return local

    async def _drawn(self, key: str, local: _Local) -> bool:
        """Wait for the fetch that concurrent requests share; False if it gave no result in time."""
        task = local.drawing or self._draw(key, local)
        await asyncio.wait({task}, timeout=DRAW_S)  # the fetch goes on after the timeout: a late result counts, too
        if not task.done():
            self._gone("timeout")
        return task.done() and not self._alone()

    def _draw(self, key: str, local: _Local) -> asyncio.Task[None]:
        task = local.drawing = asyncio.create_task(self._draw_once(key, local), name="gateway.rate.draw")
        return task

    async def _draw_once(self, key: str, local: _Local) -> None:
        try:
            held = local.hand.held(monotonic())
            drawn = await self._buckets.draw(key, local.policy, need=local.waiting, held=held)
        except Exception as error:  # noqa: BLE001 - the edge of a task; whoever waits counts alone
            self._gone(type(error).__name__, bug=None if is_unavailable(error) else error)
            return
        finally:
            local.drawing = None
        now = monotonic()
        local.hand.put(drawn.taken, drawn.left, now)
        local.alone, self._away_until = None, 0.0
        local.low = drawn.taken // 4 if drawn.taken > local.waiting else -1
        local.empty_until = now + max(EMPTY_S, local.hand.empty_s()) if drawn.left < 1 else 0.0

    def _alone(self) -> bool:
        """Whether the database counts as unavailable. From time to time one request is let through to find out."""
        now = monotonic()
        if self._away_until == 0.0:
            return False
        if now < self._away_until:
            return True
        self._away_until = now + AWAY_S
        return False

    def _gone(self, error: str, *, bug: Exception | None = None) -> None:
        self._away_until = monotonic() + AWAY_S
        log.warning("gateway.rate_limits.database_unavailable", error=error, exc_info=bug)

    def _take_alone(self, key: str, policy: Policy, count: int) -> RateLimitDecision:
        """Take tokens of a bucket in this process.

        Raises:
            Unavailable: the policy is strict.
        """
        if policy.strict:
            raise Unavailable(service="gateway", retry_after_s=1)
        local, now = self._local(key, policy), monotonic()
        local.used_at = now
        if local.alone is None:
            local.alone = Bucket(policy, now)
        return local.alone.take(now, count)


def rate_limited(policy: Policy, verdict: RateLimitDecision) -> RateLimited:
    """The refusal for a decision that does not allow the request."""
    return RateLimited(limit=policy.limit, window=policy.window_s, policy=policy.name, retry_after_s=verdict.reset_s)
