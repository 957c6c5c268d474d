import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.edge.rate_limits.domain import (
    Policy,
    PrefetchedTokens,
    RateLimitDecision,
    TokenBucket,
    build_headers,
    per_minute_policy,
)

READ = Policy("read", 600)


@pytest.mark.requirement("S-53")
def test_rate_limit_headers_follow_the_ietf_draft() -> None:
    assert build_headers(READ, RateLimitDecision(allowed=True, remaining=598, reset_s=1)) == [
        (b"ratelimit-policy", b'"read";q=600;w=60'),
        (b"ratelimit", b'"read";r=598;t=1'),
        (b"x-ratelimit-limit", b"600"),
        (b"x-ratelimit-remaining", b"598"),
        (b"x-ratelimit-reset", b"1"),
    ]


def test_rate_policy_is_cached_and_its_bucket_survives_limit_changes() -> None:
    assert per_minute_policy("read", 30) is per_minute_policy("read", 30)
    assert (
        per_minute_policy("read", 30).key("u")
        == per_minute_policy("read", 60).key("u")
        != per_minute_policy("write", 30).key("u")
    )


def test_bucket_allows_a_full_burst_and_then_refills_over_time() -> None:
    bucket = TokenBucket(Policy("open", 30), now=100.0)
    assert [bucket.take(100.0).remaining for _ in range(30)] == list(range(29, -1, -1))
    assert bucket.take(100.0) == RateLimitDecision(allowed=False, remaining=0, reset_s=2)
    assert not bucket.take(101.9).allowed
    assert bucket.take(102.0).allowed
    assert not bucket.take(102.0).allowed
    assert sum(bucket.take(9999.0).allowed for _ in range(100)) == 30


@pytest.mark.requirement("B-23")
@given(st.integers(1, 1000), st.lists(st.floats(0, 5), max_size=300))
def test_bucket_admits_no_more_than_its_policy(limit: int, pauses: list[float]) -> None:
    bucket, now, passed = TokenBucket(Policy("open", limit), now=0.0), 0.0, 0
    for pause in pauses:
        now += pause
        passed += bucket.take(now).allowed
        assert passed <= limit + now * limit / 60 + 1e-6


def test_requests_are_served_only_from_leased_tokens() -> None:
    tokens = PrefetchedTokens(READ)
    assert tokens.take(0.0) is None
    tokens.add(2, 500.0, now=1.0)
    assert [tokens.take(1.0), tokens.take(1.0), tokens.take(1.0)] == [
        RateLimitDecision(allowed=True, remaining=501, reset_s=1),
        RateLimitDecision(allowed=True, remaining=500, reset_s=1),
        None,
    ]


@pytest.mark.parametrize(
    ("limit", "left", "wait_s"), [(600, 0.5, 0.05), (30, 0.0, 2.0), (30, 0.75, 0.5), (600, 7.0, 0)]
)
def test_time_until_the_next_token_is_computed_from_prefetched_tokens(limit: int, left: float, wait_s: float) -> None:
    tokens = PrefetchedTokens(Policy("read", limit))
    tokens.add(0, left, now=5.0)
    assert tokens.compute_refill_wait_s() == pytest.approx(wait_s)


def test_refused_request_gets_a_sufficient_retry_delay() -> None:
    tokens = PrefetchedTokens(Policy("read", 6))
    tokens.add(0, 0.2, now=5.0)
    assert tokens.build_refusal(5.0) == RateLimitDecision(allowed=False, remaining=0, reset_s=8)
    assert tokens.build_refusal(12.9).reset_s == 1


@given(st.integers(1, 1000), st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=200))
def test_prefetched_and_shared_tokens_never_exceed_the_limit(limit: int, steps: list[tuple[float, bool]]) -> None:
    """A replica fetches and spends tokens at arbitrary times; a burst never exceeds the limit."""
    policy, tokens, shared, now = Policy("read", limit), PrefetchedTokens(Policy("read", limit)), float(limit), 0.0
    for pause, spends in steps:
        now += pause
        shared = min(limit, shared + pause * policy.per_second)
        if spends:
            tokens.take(now)
        elif not tokens.count(now):
            drawn = min(int(shared), max(1, limit // 20))
            shared -= drawn
            tokens.add(drawn, shared, now)
        assert shared + tokens.count(now) < limit + 1 + 1e-6


def test_returned_tokens_are_removed_from_the_prefetched_ones() -> None:
    tokens = PrefetchedTokens(READ)
    tokens.add(5, 100.0, now=0.0)
    tokens.refund()
    assert tokens.remove_all_tokens(0.0) == 6
    assert tokens.take(0.0) is None


def test_bucket_takes_several_tokens_all_or_none() -> None:
    bucket = TokenBucket(Policy("write", 30), now=100.0)
    assert bucket.take(100.0, 20) == RateLimitDecision(allowed=True, remaining=10, reset_s=2)
    assert bucket.take(100.0, 20) == RateLimitDecision(allowed=False, remaining=10, reset_s=20)
    assert bucket.take(100.0, 10) == RateLimitDecision(allowed=True, remaining=0, reset_s=2)


def test_prefetched_tokens_are_taken_all_or_none() -> None:
    tokens = PrefetchedTokens(Policy("write", 30))
    tokens.add(8, 0.0, now=1.0)
    assert tokens.take(1.0, 9) is None
    assert tokens.build_refusal(1.0, 20) == RateLimitDecision(allowed=False, remaining=8, reset_s=24)
    assert tokens.take(1.0, 8) == RateLimitDecision(allowed=True, remaining=0, reset_s=2)
