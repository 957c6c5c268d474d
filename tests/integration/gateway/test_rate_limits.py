"""Request rate limits: token buckets shared by replicas, and the limits in HTTP responses."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Protocol

import httpx
import pytest

from chassis.database.postgres import Database
from contracts.auth.changes import UserChanged
from contracts.wire.errors import Unavailable
from gateway.edge.rate_limits.domain import HOUR_S, HOURLY_PREFIX, Policy
from gateway.edge.rate_limits.service import RateLimiter
from gateway.edge.rate_limits.store import RateLimitStore
from tests.integration.gateway.conftest import ALICE, BOB, settings_for, until_ready
from tests.integration.gateway.long_timeouts import TIMEOUT_S, client_with_long_timeout, create_app_with_long_timeouts
from tests.kit.nats import NatsServer
from tests.kit.postgres import PostgresServer, database_with_long_timeout
from tests.kit.scripted import Script
from tests.kit.scripted_auth import UNLIMITED
from tests.kit.serving import serving
from tests.kit.waiting import until

NOWHERE = "postgresql+asyncpg://nobody@127.0.0.1:1/none"
READ = Policy("read", 600)
LOGIN = "/api/v1/auth/login"


@pytest.fixture(scope="module")
async def rates_url(postgres_server: PostgresServer) -> str:
    return await postgres_server.create_database("gateway")


@pytest.fixture
async def database(rates_url: str) -> AsyncIterator[Database]:
    database = database_with_long_timeout(rates_url)
    yield database
    await database.close()


@asynccontextmanager
async def limiters(url: str, count: int) -> AsyncIterator[list[RateLimiter]]:
    """Yield the rate limiters of several replicas, each with its own database connections."""
    databases = [database_with_long_timeout(url, pool_size=2) for _ in range(count)]
    try:
        yield [RateLimiter(RateLimitStore(database), fetch_timeout_s=TIMEOUT_S) for database in databases]
    finally:
        for database in databases:
            await database.close()


async def admitted(limiter: RateLimiter, key: str, policy: Policy, tries: int) -> int:
    return sum([(await limiter.take(key, policy)).allowed for _ in range(tries)])


@pytest.mark.requirement("B-23", "table gateway.rate_buckets", "limit.rate")
@pytest.mark.parametrize("limit", [3, 30, 600, 6000])
async def test_three_replicas_together_enforce_the_rate_limit(rates_url: str, limit: int) -> None:
    policy = Policy("read", limit)
    async with limiters(rates_url, 3) as replicas:
        began = monotonic()
        crowd = [admitted(replica, f"crowd-{limit}", policy, limit // 5 + 1) for replica in replicas for _ in range(10)]
        passed = sum(await asyncio.gather(*crowd))
        allowed = limit + (monotonic() - began) * policy.per_second
        assert 0.95 * limit <= passed <= allowed


async def test_unused_rate_limit_tokens_are_returned_to_the_shared_bucket(rates_url: str, database: Database) -> None:
    policy = Policy("read", 600, window_s=86400)

    async def shared() -> float:
        async with database.connection() as connection:
            return float(await connection.fetchval("SELECT tokens FROM rate_buckets WHERE key = 'idle'"))

    async with limiters(rates_url, 1) as (idle,):
        assert (await idle.take("idle", policy)).remaining == 599
        assert await shared() == 570
        assert idle.try_take_cached_tokens("idle", policy) is not None, "the replica holds the rest of its lease"

        async def back() -> bool:
            await idle.return_idle_tokens()
            return await shared() == 598

        await until(back)
        assert idle.try_take_cached_tokens("idle", policy) is None


async def test_stopping_replica_returns_its_rate_limit_tokens(rates_url: str) -> None:
    policy = Policy("read", 600, window_s=86400)
    async with limiters(rates_url, 2) as (stopped, other):
        assert (await stopped.take("stopped", policy)).allowed
        assert await admitted(other, "stopped", policy, 100) == 100
        await stopped.stop()
        assert await admitted(other, "stopped", policy, 600) == 499


async def test_concurrent_requests_share_one_token_lease(database: Database) -> None:
    leased: list[int] = []

    class Watched(RateLimitStore):
        async def lease_tokens(self, key: str, policy: Policy, *, needed: int, prefetched: int):
            leased.append(needed)
            return await super().lease_tokens(key, policy, needed=needed, prefetched=prefetched)

    limiter = RateLimiter(Watched(database), fetch_timeout_s=TIMEOUT_S)
    verdicts = await asyncio.gather(*(limiter.take("together", READ) for _ in range(50)))
    assert [verdict.allowed for verdict in verdicts] == [True] * 50
    assert leased == [50]


async def test_leased_and_returned_tokens_never_exceed_the_bucket_size(database: Database) -> None:
    buckets, policy = RateLimitStore(database), Policy("read", 100, window_s=86400)
    assert (await buckets.lease_tokens("plain", policy, needed=1, prefetched=0)).taken == 5
    assert (await buckets.lease_tokens("plain", policy, needed=0, prefetched=5)).taken == 0
    assert (await buckets.lease_tokens("plain", policy, needed=90, prefetched=0)).taken == 90
    assert (await buckets.lease_tokens("plain", policy, needed=90, prefetched=0)).taken == 5
    assert (await buckets.lease_tokens("plain", policy, needed=1, prefetched=0)).taken == 0
    await buckets.return_tokens({"plain": 1000, "of nobody": 3})
    assert (await buckets.lease_tokens("plain", policy, needed=1000, prefetched=0)).taken == 100


async def test_limit_change_keeps_the_used_share_of_a_bucket(database: Database) -> None:
    buckets = RateLimitStore(database)
    small, large = (Policy("read", limit, window_s=86400) for limit in (100, 1000))
    await buckets.lease_tokens("changed", small, needed=60, prefetched=0)
    assert (await buckets.lease_tokens("changed", large, needed=100, prefetched=0)).left == pytest.approx(300, abs=1)
    assert (await buckets.lease_tokens("changed", small, needed=0, prefetched=100)).left == pytest.approx(30, abs=1)


async def test_rate_limiting_does_not_wait_for_disk_sync(database: Database) -> None:
    """Leasing tokens returns before PostgreSQL flushes the WAL, so its commit is asynchronous."""
    buckets = RateLimitStore(database)

    async def unflushed() -> bool:
        await buckets.lease_tokens("disk", READ, needed=1, prefetched=0)
        async with database.connection() as connection:
            lags = await connection.fetchval("SELECT pg_current_wal_flush_lsn() < pg_current_wal_insert_lsn()")
            return lags is True

    await until(unflushed)


async def test_unused_full_buckets_are_deleted(database: Database) -> None:
    buckets = RateLimitStore(database)
    await buckets.lease_tokens("old", READ, needed=1, prefetched=0)

    async def there() -> bool:
        async with database.connection() as connection:
            return bool(await connection.fetchval("SELECT exists(SELECT FROM rate_buckets WHERE key = 'old')"))

    await buckets.prune(timedelta(minutes=10), hourly_older_than=timedelta(hours=2))
    assert await there()
    await buckets.prune(timedelta(0), hourly_older_than=timedelta(0))
    assert not await there()


async def test_hourly_buckets_are_kept_until_they_are_full(database: Database) -> None:
    buckets, hourly = RateLimitStore(database), Policy(HOURLY_PREFIX, 5, window_s=HOUR_S)
    for name in (HOURLY_PREFIX, f"{HOURLY_PREFIX}-network"):
        await buckets.lease_tokens(f"{name}:192.0.2.1", hourly, needed=5, prefetched=0)
    await buckets.prune(timedelta(0), hourly_older_than=timedelta(minutes=1))
    for name in (HOURLY_PREFIX, f"{HOURLY_PREFIX}-network"):
        assert (await buckets.lease_tokens(f"{name}:192.0.2.1", hourly, needed=1, prefetched=0)).taken == 0


@pytest.mark.requirement("F-101")
async def test_rate_limiter_refuses_logins_and_counts_reads_locally_without_its_database() -> None:
    async with limiters(NOWHERE, 1) as (limiter,):
        with pytest.raises(Unavailable):
            await limiter.take("login:a", Policy("login", 30, strict=True))
        policy = Policy("read", 5, window_s=86400)
        assert await admitted(limiter, "read:a", policy, 20) == 5
        assert await admitted(limiter, "read:b", policy, 20) == 5
        with pytest.raises(Unavailable):
            await limiter.take("login:b", Policy("login", 30, strict=True))


@pytest.mark.requirement("F-101")
async def test_shared_rate_limit_applies_again_when_the_database_returns() -> None:
    server = PostgresServer()
    policy = Policy("read", 50, window_s=86400)
    try:
        await server.create()
        async with limiters(await server.create_database("gateway"), 1) as (limiter,):
            assert await admitted(limiter, "read:a", policy, 40) == 40
            server.kill()
            assert await admitted(limiter, "read:a", policy, 70) >= 50, "it counts locally"
            await server.start()
            login = Policy("login", 30, strict=True)

            async def back() -> bool:
                try:
                    return (await limiter.take("login:a", login)).allowed
                except Unavailable:
                    return False

            await until(back)
            left = await admitted(limiter, "read:a", policy, 70)
            assert left <= 50, "a crashed server may lose the counts of the last half second, but no more"
    finally:
        server.remove()


class Open(Protocol):
    async def __call__(self, database_url: str = ..., **settings: object) -> httpx.AsyncClient: ...


@pytest.fixture
async def opened(nats_server: NatsServer, rates_url: str, script: Script, tmp_path: Path) -> AsyncIterator[Open]:
    """A function that starts gateways behind a trusted proxy. Each test must use its own client addresses."""
    async with AsyncExitStack() as stack:

        async def opened(database_url: str = rates_url, **settings: object) -> httpx.AsyncClient:
            asked: dict[str, object] = {"trusted_proxies": "127.0.0.1"} | settings
            app = create_app_with_long_timeouts(settings_for(nats_server.url, database_url, tmp_path, **asked))
            at = await stack.enter_async_context(serving(app))
            client = client_with_long_timeout(at)
            http = await stack.enter_async_context(client)
            if database_url == rates_url:
                await until_ready(http)
            return http

        assert script
        yield opened


def limit(script: Script, requests_per_minute: int | None) -> UserChanged:
    limits = UNLIMITED.model_copy(update={"requests_per_minute": requests_per_minute})
    return script.auth.change(script.alice, limits=limits, own_limits=True)


def at(address: str, **more: str) -> dict[str, str]:
    return {"X-Forwarded-For": address, **more}


@pytest.mark.requirement("S-53", "limit.headers")
async def test_every_response_carries_the_remaining_rate_limit(opened: Open, script: Script) -> None:
    limit(script, 6)  # one token every 10 s
    http = await opened()
    seen = []
    for method, path, status in [
        ("GET", "/api/v1/models", 200),
        ("GET", "/api/v1/jobs/unknown", 404),
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/v1/jobs?limit=0", 422),
    ]:
        answer = await http.request(method, path, headers=ALICE)
        assert answer.status_code == status, path
        assert answer.headers["ratelimit-policy"] == '"read";q=6;w=60'
        assert answer.headers["x-ratelimit-limit"] == "6"
        remaining, reset = answer.headers["x-ratelimit-remaining"], answer.headers["x-ratelimit-reset"]
        assert answer.headers["ratelimit"] == f'"read";r={remaining};t={reset}'
        seen.append(int(remaining))
    assert seen[0] == 5
    assert 2 <= seen[-1] <= 4
    for method, path, status in [("PUT", "/api/v1/models", 405), ("POST", "/api/v1/jobs", 422)]:
        answer = await http.request(method, path, headers=ALICE, json={})
        assert (answer.status_code, answer.headers["ratelimit-policy"]) == (status, '"write";q=6;w=60'), path


@pytest.mark.requirement("S-53")
async def test_rate_limited_response_carries_retry_after(opened: Open, script: Script) -> None:
    limit(script, 3)
    http = await opened()
    for _ in range(3):
        assert (await http.get("/api/v1/models", headers=ALICE)).status_code == 200
    answer = await http.get("/api/v1/models", headers=ALICE)
    assert answer.status_code == 429
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["code"], problem["request_id"]) == ("rate.exceeded", answer.headers["x-request-id"])
    assert "read" in problem["detail"]
    assert answer.headers["x-ratelimit-remaining"] == "0"
    assert int(answer.headers["retry-after"]) >= int(answer.headers["x-ratelimit-reset"]) >= 1
    assert (await http.post("/api/v1/jobs", headers=ALICE, json={"prompt": "a"})).status_code == 201, "separate limit"
    assert (await http.get("/api/v1/models", headers=BOB)).status_code == 200, "another user's bucket"


@pytest.mark.requirement("S-87")
async def test_reads_of_a_browser_session_have_a_separate_higher_limit(opened: Open, script: Script) -> None:
    limit(script, 3)
    http = await opened()
    session = {"Authorization": f"Bearer {script.auth.token(script.alice)}"}
    page = ("auth/me", "models", "jobs", "jobs/unknown/thumbnail", *["jobs"] * 26)
    answers = [await http.get(f"/api/v1/{path}", headers=session) for path in page]
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"browse";q=30;w=60'}
    assert 429 not in {answer.status_code for answer in answers}
    classes = [
        (await http.get("/api/v1/jobs", headers=ALICE), "read"),
        (await http.get("/api/v1/jobs/unknown/outputs.zip", headers=session), "read"),
        (await http.post("/api/v1/ws-tickets", headers=session), "write"),
    ]
    for answer, name in classes:
        assert answer.headers["ratelimit-policy"] == f'"{name}";q=3;w=60'
        assert answer.headers["x-ratelimit-remaining"] != "0"


@pytest.mark.requirement("S-53")
async def test_tier_change_updates_the_rate_limit_and_unlimited_users_are_not_counted(
    opened: Open, script: Script
) -> None:
    limit(script, 3)
    http = await opened()
    codes = [(await http.get("/api/v1/models", headers=ALICE)).status_code for _ in range(5)]
    assert codes[-1] == 429
    await script.publish_change(limit(script, None))

    async def unlimited() -> bool:
        answer = await http.get("/api/v1/models", headers=ALICE)
        return answer.status_code == 200 and "ratelimit" not in answer.headers

    await until(unlimited)
    await script.publish_change(limit(script, 60_000))

    async def limited() -> bool:
        answer = await http.get("/api/v1/models", headers=ALICE)
        return "60000" in answer.headers.get_list("x-ratelimit-limit")

    await until(limited)


@pytest.mark.requirement("B-23")
async def test_credential_guessing_is_rate_limited_without_requests_to_auth(opened: Open, script: Script) -> None:
    http = await opened(open_per_minute=4)
    guesser, neighbour = "198.51.100.1", "198.51.100.2"
    assert (await http.get("/api/v1/models", headers=at(guesser, **ALICE))).status_code == 200
    asked = script.auth.asked
    answers = [await http.get("/api/v1/models", headers=at(guesser, **{"X-API-Key": f"guess-{n}"})) for n in range(20)]
    codes = [answer.status_code for answer in answers]
    assert codes.count(401) in {4, 5}
    assert codes[-1] == 429
    assert answers[0].headers["ratelimit-policy"] == '"open";q=4;w=60'
    assert script.auth.asked - asked == codes.count(401)
    assert (await http.get("/api/v1/models", headers=at(guesser, **BOB))).status_code == 429, "not verified before"
    assert (await http.get("/api/v1/models", headers=at(guesser))).status_code == 429
    assert (await http.get("/api/v1/models", headers=at(guesser, **ALICE))).status_code == 200, "verified before"
    assert (await http.get("/api/v1/models", headers=at(neighbour, **BOB))).status_code == 200


@pytest.mark.requirement("B-23", "limit.login")
async def test_logins_have_their_own_rate_limit(opened: Open) -> None:
    http = await opened(login_per_minute=3)
    answers = [await http.post(LOGIN, headers=at("198.51.100.3"), json={}) for _ in range(5)]
    assert [answer.status_code == 429 for answer in answers] == [False, False, False, True, True]
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"login";q=3;w=60'}
    refresh = await http.post("/api/v1/auth/refresh", headers=at("198.51.100.3", **ALICE), json={})
    assert refresh.status_code == 429
    assert (await http.post(LOGIN, headers=at("198.51.100.4"), json={})).status_code != 429
    assert (await http.get("/api/v1/models", headers=at("198.51.100.3"))).status_code == 401


@pytest.mark.requirement("B-23")
async def test_ipv6_addresses_share_a_bucket_per_64_prefix(opened: Open) -> None:
    http = await opened(open_per_minute=3)
    codes = [(await http.get("/api/v1/models", headers=at(f"2001:db8::{n + 1:x}"))).status_code for n in range(4)]
    assert codes == [401, 401, 401, 429]
    assert (await http.get("/api/v1/models", headers=at("2001:db8:0:1::1"))).status_code == 401


@pytest.mark.requirement("B-8")
async def test_forwarded_address_from_an_untrusted_peer_is_ignored(opened: Open) -> None:
    http = await opened(trusted_proxies="198.51.100.0/24", open_per_minute=3)
    codes = [
        (await http.get("/api/v1/models", headers=at(f"203.0.113.{n}", Forwarded="for=1.2.3.4"))).status_code
        for n in range(5)
    ]
    assert codes[-1] == 429


@pytest.mark.requirement("S-59")
async def test_rightmost_forwarded_address_is_used_behind_a_trusted_proxy(opened: Open) -> None:
    http = await opened(open_per_minute=3)
    codes = [
        (await http.get("/api/v1/models", headers=at(f"203.0.113.{n}, 198.51.100.5"))).status_code for n in range(4)
    ]
    assert codes == [401, 401, 401, 429]
    assert (await http.get("/api/v1/models", headers=at("198.51.100.5, 198.51.100.6"))).status_code == 401


async def test_health_executor_and_options_requests_are_not_rate_limited(opened: Open) -> None:
    http = await opened(open_per_minute=1)
    for method, path in [("GET", "/healthz"), ("GET", "/readyz"), ("PUT", "/internal/outputs/x"), ("OPTIONS", LOGIN)]:
        for _ in range(3):
            answer = await http.request(method, path, headers=at("198.51.100.7"))
            assert answer.status_code != 429, path
            assert "ratelimit" not in answer.headers


async def test_rate_limiting_can_be_disabled(opened: Open, script: Script) -> None:
    limit(script, 1)
    http = await opened(rate_limit_enabled=False, open_per_minute=1)
    for headers in (at("198.51.100.8", **ALICE), at("198.51.100.8")):
        for _ in range(3):
            answer = await http.get("/api/v1/models", headers=headers)
            assert answer.status_code in {200, 401}
            assert not [name for name in answer.headers if "ratelimit" in name]


@pytest.mark.requirement("F-101")
async def test_http_refuses_only_logins_when_the_rate_limit_database_is_down(opened: Open, script: Script) -> None:
    limit(script, 3)
    http = await opened(database_url=NOWHERE)

    async def readable() -> bool:
        return (await http.get("/api/v1/models", headers=BOB)).status_code == 200

    await until(readable)
    answer = await http.post(LOGIN, json={})
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (
        503,
        "service.unavailable",
        "1",
    )
    codes = [(await http.get("/api/v1/models", headers=ALICE)).status_code for _ in range(4)]
    assert codes == [200, 200, 200, 429]


@pytest.mark.requirement("B-23")
async def test_rate_limit_buckets_of_many_addresses_are_pruned_in_one_pass(database: Database) -> None:
    buckets = RateLimitStore(database)
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO rate_buckets (key, tokens, capacity, taken, at) "
            "SELECT 'flood:' || n, 1, 1, 0, now() - interval '1 hour' FROM generate_series(1, 2500) AS n"
        )
    await buckets.prune(timedelta(minutes=30), hourly_older_than=timedelta(hours=2))
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM rate_buckets WHERE key LIKE 'flood:%'") == 0
