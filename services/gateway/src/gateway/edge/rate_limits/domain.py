"""Request rates: token buckets, and how answers speak of them (draft-ietf-httpapi-ratelimit-headers-10)."""

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, floor

SHARE = 0.05  # of what is left, at most, that a replica holds in advance: so much is lost with one that is killed
HOURLY, HOUR_S = "register", 3600  # policies whose name begins so have a window of an hour, all others of a minute
ALMOST = 1e-9  # tokens; what floating point may lack to a whole one

Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Policy:
    """A token bucket: ``limit`` requests at once, then ``limit`` in ``window_s`` seconds, evenly.

    Attributes:
        name: of the endpoint class, as answers show it.
        strict: while the shared count is away, nobody is let in; else each replica counts for itself.
    """

    name: str
    limit: int
    window_s: int = 60
    strict: bool = False

    @property
    def per_second(self) -> float:
        """Tokens that come back in a second."""
        return self.limit / self.window_s

    def key(self, whose: str) -> str:
        """The name of somebody's bucket. It stays the same when the limit changes."""
        return f"{self.name}:{whose}"


@lru_cache(maxsize=1024)
def policy(name: str, limit: int, *, strict: bool = False) -> Policy:
    """The policy of an endpoint class with so many requests a minute; the same object each time."""
    return Policy(name, limit, strict=strict)


@dataclass(frozen=True, slots=True)
class RateLimitDecision:
    """Whether a request may pass, and what its answer says of the bucket.

    Attributes:
        remaining: requests that may follow at once.
        reset_s: whole seconds until there is one more, at least 1.
    """

    allowed: bool
    remaining: int
    reset_s: int


class Bucket:
    """Tokens that one process counts alone. Times are seconds of a clock that never goes back."""

    __slots__ = ("_at", "_policy", "_tokens")

    def __init__(self, policy: Policy, now: float) -> None:
        self._policy, self._tokens, self._at = policy, float(policy.limit), now

    def take(self, now: float, count: int = 1) -> RateLimitDecision:
        """So many tokens, if they are all there."""
        policy = self._policy
        self._tokens = min(policy.limit, self._tokens + (now - self._at) * policy.per_second)
        self._at = now
        allowed = self._tokens + ALMOST >= count
        if allowed:
            self._tokens -= count
        missing = 1 if allowed else count
        return RateLimitDecision(
            allowed=allowed, remaining=max(0, floor(self._tokens)), reset_s=_until(missing, self._tokens, policy)
        )


class PrefetchedTokens:
    """Tokens that were drawn from a shared bucket in advance.

    What is in hand and what is shared are together never more than the bucket holds: once the shared part may have
    filled up again, what is in hand melts as fast as that would have gone on filling.
    """

    __slots__ = ("_at", "_left", "_limit", "_per_second", "_policy", "_tokens")

    def __init__(self, policy: Policy) -> None:
        self._policy, self._limit, self._per_second = policy, policy.limit, policy.per_second
        self._tokens, self._left, self._at = 0, 0.0, 0.0

    def put(self, tokens: int, left: float, now: float) -> None:
        """Add what was drawn; ``left`` is what is in the shared bucket now."""
        self._tokens, self._left, self._at = self.held(now) + tokens, left, now

    def back(self) -> None:
        """Add one that was taken and not needed."""
        self._tokens += 1

    def take(self, now: float, count: int = 1) -> RateLimitDecision | None:
        """So many tokens; None if there are fewer in hand."""
        held = self.held(now)
        if held < count:
            return None
        self._tokens -= count
        return self._verdict(now, held - count)

    def refuse(self, now: float, count: int = 1) -> RateLimitDecision:
        """What is said while the shared bucket is empty too, and there are fewer than ``count`` in hand."""
        held = self.held(now)
        return RateLimitDecision(
            allowed=False, remaining=held, reset_s=_until(count - held, self._shared(now), self._policy)
        )

    def held(self, now: float) -> int:
        """Tokens in hand that may still be used."""
        if not self._tokens:
            return 0
        over = self._shared(now) + self._tokens - self._limit
        if over >= 1:
            self._tokens = max(0, self._tokens - floor(over))
        return self._tokens

    def all(self, now: float) -> int:
        """Take every token out, to give them back."""
        held, self._tokens = self.held(now), 0
        return held

    def empty_s(self) -> float:
        """Seconds from the last draw until the shared bucket had a whole token; 0 if it had one."""
        return max(0.0, 1 - self._left) / self._per_second

    def _verdict(self, now: float, held: int) -> RateLimitDecision:
        remaining = min(self._limit, floor(self._shared(now) + held + ALMOST))
        return RateLimitDecision(allowed=True, remaining=remaining, reset_s=max(1, ceil(1 / self._per_second)))

    def _shared(self, now: float) -> float:
        return self._left + (now - self._at) * self._per_second


def _until(count: int, tokens: float, policy: Policy) -> int:
    """Whole seconds until there are so many, or one more where there are."""
    missing = count - tokens if count > tokens else 1 - tokens % 1
    return max(1, ceil(missing / policy.per_second - ALMOST))


def headers(policy: Policy, verdict: RateLimitDecision) -> Headers:
    """What every answer says of the bucket that its request was counted in."""
    announced, limit = _of_policy(policy)
    remaining, reset = b"%d" % verdict.remaining, b"%d" % verdict.reset_s
    return [
        (b"ratelimit-policy", announced),
        (b"ratelimit", b'"%s";r=%s;t=%s' % (policy.name.encode(), remaining, reset)),
        (b"x-ratelimit-limit", limit),
        (b"x-ratelimit-remaining", remaining),
        (b"x-ratelimit-reset", reset),
    ]


@lru_cache(maxsize=1024)
def _of_policy(policy: Policy) -> tuple[bytes, bytes]:
    return f'"{policy.name}";q={policy.limit};w={policy.window_s}'.encode(), b"%d" % policy.limit
