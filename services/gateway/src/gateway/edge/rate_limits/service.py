"""Request rates over all replicas, without asking the database about each request."""

import asyncio
from dataclasses import dataclass
from time import monotonic

from chassis.database.postgres import is_unavailable
from chassis.telemetry.logs import log
from contracts.wire.errors import Unavailable
from gateway.edge.rate_limits.domain import Bucket, Policy, PrefetchedTokens, RateLimitDecision
from gateway.edge.rate_limits.store import RateLimitStore
from gateway.errors import RateLimited

DRAW_S = 1.0  # longer than this, and the database counts as away
AWAY_S = 1.0  # so long it is not asked again then
IDLE_S = 1.0  # tokens that nobody used for so long are given back
FORGET_S = 60.0  # what was not asked for is no longer remembered; a bucket of our own is full again by then
EMPTY_S = 0.02  # an empty bucket is not asked about more often than this
AT_MOST = 50_000  # buckets remembered


@dataclass(slots=True)
class _Local:
    """What this replica has of one bucket."""

    policy: Policy
    hand: PrefetchedTokens
    used_at: float
    low: int = -1  # with so many in hand, more are drawn; -1: not in advance
    empty_until: float = 0.0
    waiting: int = 0  # tokens that somebody waits for
    drawing: asyncio.Task[None] | None = None
    alone: Bucket | None = None


class RateLimiter:
    """Counts requests in buckets that all replicas share.

    Over all replicas no more requests pass than the policy says. Tokens are drawn in advance, ``SHARE`` of what is left
    at most: so many are out of others' reach until they are given back, and lost if this process is killed.
    """

    def __init__(self, buckets: RateLimitStore) -> None:
        self._buckets = buckets
        self._locals: dict[str, _Local] = {}
        self._away_until = 0.0

    def take_now(self, key: str, policy: Policy, count: int = 1) -> RateLimitDecision | None:
        """So many tokens or none, if that can be said without asking the database; else None."""
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
        """So many tokens, all or none; ``count`` is at most the policy's limit.

        Raises:
            Unavailable: the database is away, and the policy is strict.
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
        """Put back a token that was taken in vain."""
        local = self._locals.get(key)
        if local is not None and local.alone is None:
            local.hand.back()
            local.empty_until = 0.0

    async def tidy(self) -> None:
        """Give back what lies idle, forget what nobody asks for. A duty for ``chassis.loop.Loop``."""
        await self._give_back(idle_s=IDLE_S)

    async def stop(self) -> None:
        """Give everything back."""
        drawing = [local.drawing for local in self._locals.values() if local.drawing]
        if drawing:
            await asyncio.wait(drawing, timeout=DRAW_S)
        try:
            async with asyncio.timeout(DRAW_S):
                await self._give_back(idle_s=0)
        except Exception as error:  # noqa: BLE001 - the end of the process: what is not given back is lost
            log.warning("gateway.rate.not_given_back", error=type(error).__name__)

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
        """What is known of a bucket; what was drawn under another policy is forgotten."""
        local = self._locals.get(key)
        if local is None or local.policy != policy:
            if local is None and len(self._locals) >= AT_MOST:
                del self._locals[next(iter(self._locals))]
            local = self._locals[key] = _Local(policy, PrefetchedTokens(policy), monotonic())
        return local

    async def _drawn(self, key: str, local: _Local) -> bool:
        """Wait until a draw that many share has ended; whether it gave an answer in time."""
        task = local.drawing or self._draw(key, local)
        await asyncio.wait({task}, timeout=DRAW_S)  # and let it go on: an answer that comes late counts too
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
        """Whether the database counts as away. Now and then one request is let through to see."""
        now = monotonic()
        if self._away_until == 0.0:
            return False
        if now < self._away_until:
            return True
        self._away_until = now + AWAY_S
        return False

    def _gone(self, error: str, *, bug: Exception | None = None) -> None:
        self._away_until = monotonic() + AWAY_S
        log.warning("gateway.rate.alone", error=error, exc_info=bug)

    def _take_alone(self, key: str, policy: Policy, count: int) -> RateLimitDecision:
        """So many tokens of a bucket of our own.

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


def used_up(policy: Policy, verdict: RateLimitDecision) -> RateLimited:
    """The refusal where a verdict does not allow what was asked for."""
    return RateLimited(limit=policy.limit, window=policy.window_s, policy=policy.name, retry_after_s=verdict.reset_s)
