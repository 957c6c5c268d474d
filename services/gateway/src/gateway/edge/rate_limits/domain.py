"""Token buckets, and the response headers about them (draft-ietf-httpapi-ratelimit-headers-10)."""

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, floor

PREFETCH_SHARE = 0.05  # largest part of the remaining tokens that a replica prefetches, and loses when it is killed
HOURLY_PREFIX, HOUR_S = "register", 3600  # policies with this name prefix have a window of an hour, others of a minute
ROUNDING_TOLERANCE = 1e-9  # tokens

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Policy:
    """A token bucket: ``limit`` requests at once, refilled evenly with ``limit`` tokens in ``window_s`` seconds.

    Attributes:
        name: the endpoint class, as responses show it.
        strict: while the database is unavailable all requests are refused; otherwise each replica counts separately.
    """

    name: str
    limit: int
    window_s: int = 60
    strict: bool = False

    @property
    def per_second(self) -> float:
        """Tokens refilled per second."""
        return self.limit / self.window_s

    def key(self, client: str) -> str:
        """Return the name of the bucket of one client. It does not depend on the limit."""
        return f"{self.name}:{client}"


@lru_cache(maxsize=1024)
def per_minute_policy(name: str, limit: int, *, strict: bool = False) -> Policy:
    """Return the policy of an endpoint class with a limit per minute; the same object for the same arguments."""
    return Policy(name, limit, strict=strict)


@dataclass(frozen=True, slots=True)
class RateLimitDecision:
    """Whether a request is allowed, and the state of its bucket for the response headers.

    Attributes:
        remaining: requests that may follow immediately.
        reset_s: whole seconds until the next token, at least 1.
    """

    allowed: bool
    remaining: int
    reset_s: int


class TokenBucket:
    """A token bucket in the memory of one process. Times are seconds of a monotonic clock."""

    __slots__ = ("_policy", "_tokens", "_updated_at")

    def __init__(self, policy: Policy, now: float) -> None:
        self._policy, self._tokens, self._updated_at = policy, float(policy.limit), now

    def take(self, now: float, count: int = 1) -> RateLimitDecision:
        """Take ``count`` tokens, or none."""
        policy = self._policy
        self._tokens = min(policy.limit, self._tokens + (now - self._updated_at) * policy.per_second)
        self._updated_at = now
        allowed = self._tokens + ROUNDING_TOLERANCE >= count
        if allowed:
            self._tokens -= count
        missing = 1 if allowed else count
        return RateLimitDecision(
            allowed=allowed,
            remaining=max(0, floor(self._tokens)),
            reset_s=_compute_seconds_until(missing, self._tokens, policy),
        )


class PrefetchedTokens:
    """Tokens fetched in advance from a shared bucket.

    Prefetched and shared tokens together never exceed the capacity of the bucket: once the shared part may be full
    again, prefetched tokens expire at the rate at which it would be refilled.
    """

    __slots__ = ("_limit", "_per_second", "_policy", "_shared_tokens", "_tokens", "_updated_at")

    def __init__(self, policy: Policy) -> None:
        self._policy, self._limit, self._per_second = policy, policy.limit, policy.per_second
        self._tokens, self._shared_tokens, self._updated_at = 0, 0.0, 0.0

    def add(self, tokens: int, shared_tokens: float, now: float) -> None:
        """Add fetched tokens; ``shared_tokens`` are left in the shared bucket."""
        self._tokens, self._shared_tokens, self._updated_at = self.count(now) + tokens, shared_tokens, now

    def refund(self) -> None:
        """Return one token that was taken and not used."""
        self._tokens += 1

    def take(self, now: float, count: int = 1) -> RateLimitDecision | None:
        """Take ``count`` tokens; None if there are fewer."""
        available = self.count(now)
        if available < count:
            return None
        self._tokens -= count
        return self._build_admission(now, available - count)

    def build_refusal(self, now: float, count: int = 1) -> RateLimitDecision:
        """Return a refusal, for use when neither the shared bucket nor the prefetched tokens cover ``count``."""
        available = self.count(now)
        return RateLimitDecision(
            allowed=False,
            remaining=available,
            reset_s=_compute_seconds_until(count - available, self._estimate_shared_tokens(now), self._policy),
        )

    def count(self, now: float) -> int:
        """Return the number of tokens that have not expired."""
        if not self._tokens:
            return 0
        excess = self._estimate_shared_tokens(now) + self._tokens - self._limit
        if excess >= 1:
            self._tokens = max(0, self._tokens - floor(excess))
        return self._tokens

    def remove_all_tokens(self, now: float) -> int:
        """Remove the tokens that have not expired, to return them to the shared bucket. Returns their number."""
        taken, self._tokens = self.count(now), 0
        return taken

    def compute_refill_wait_s(self) -> float:
        """Return the seconds from the last fetch until the shared bucket has a whole token; 0 if it had one."""
        return max(0.0, 1 - self._shared_tokens) / self._per_second

    def _build_admission(self, now: float, prefetched: int) -> RateLimitDecision:
        remaining = min(self._limit, floor(self._estimate_shared_tokens(now) + prefetched + ROUNDING_TOLERANCE))
        return RateLimitDecision(allowed=True, remaining=remaining, reset_s=max(1, ceil(1 / self._per_second)))

    def _estimate_shared_tokens(self, now: float) -> float:
        return self._shared_tokens + (now - self._updated_at) * self._per_second


def _compute_seconds_until(count: int, tokens: float, policy: Policy) -> int:
    """Return the whole seconds until there are ``count`` tokens, or until the next token if there are already."""
    missing = count - tokens if count > tokens else 1 - tokens % 1
    return max(1, ceil(missing / policy.per_second - ROUNDING_TOLERANCE))


def build_headers(policy: Policy, decision: RateLimitDecision) -> Headers:
    """Return the rate limit headers of a response."""
    policy_header, limit = _format_policy(policy)
    remaining, reset = b"%d" % decision.remaining, b"%d" % decision.reset_s
    return [
        (b"ratelimit-policy", policy_header),
        (b"ratelimit", b'"%s";r=%s;t=%s' % (policy.name.encode(), remaining, reset)),
        (b"x-ratelimit-limit", limit),
        (b"x-ratelimit-remaining", remaining),
        (b"x-ratelimit-reset", reset),
    ]


@lru_cache(maxsize=1024)
def _format_policy(policy: Policy) -> tuple[bytes, bytes]:
    return f'"{policy.name}";q={policy.limit};w={policy.window_s}'.encode(), b"%d" % policy.limit
