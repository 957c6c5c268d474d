"""Background loops of the rate limits."""

from datetime import timedelta

from chassis.loop import Loop
from chassis.telemetry.logs import log
from gateway.edge.rate_limits.domain import HOUR_S
from gateway.edge.rate_limits.service import RateLimiter
from gateway.edge.rate_limits.store import RateLimitStore

RETURN_TOKENS_EVERY_S = 0.5
PRUNE_EVERY_S = 60.0
KEEP_UNUSED = timedelta(minutes=10)  # far longer than a bucket with a window of a minute takes to fill up
KEEP_UNUSED_HOURLY = timedelta(seconds=2 * HOUR_S)
WARN_EVERY_S = 600.0


def create_rate_limit_loops(limiter: RateLimiter, store: RateLimitStore) -> tuple[Loop, ...]:
    """Return the loops that give unused tokens back, and that delete buckets that are full and unused."""

    async def prune() -> None:
        await store.prune(KEEP_UNUSED, hourly_older_than=KEEP_UNUSED_HOURLY)

    return (
        Loop("gateway.return_idle_tokens", limiter.return_idle_tokens, every_s=RETURN_TOKENS_EVERY_S),
        Loop("gateway.prune_rate_limits", prune, every_s=PRUNE_EVERY_S),
    )


def create_unlimited_warning_loop() -> Loop:
    """Return the loop that logs a warning periodically while rate limits are disabled."""

    async def warn() -> None:
        log.warning("gateway.rate_limits.disabled", reason="RATE_LIMIT_ENABLED is false")

    return Loop("gateway.warn_unlimited", warn, every_s=WARN_EVERY_S)
