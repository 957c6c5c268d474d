"""Measures the cost of rate limiting, and how exactly three replicas count together.

    python -m tests.load.rate_limits [--rounds 1000] [--seconds 6]

Gateways are real processes on real NATS and PostgreSQL; auth is scripted. Cost: the same request alternately to a
gateway with and without rate limits; then the middleware alone. Exactness: three gateways with one database receive far
more requests of one user than the limit allows; after a third of the time one of them is killed.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter
from uuid import UUID

import httpx
from starlette.types import Message, Receive, Send
from starlette.types import Scope as AsgiScope

from authn.client_address import ClientAddressResolver
from chassis.database.postgres import Database
from chassis.messaging.bus import Bus
from contracts.auth.accounts import Role
from contracts.auth.credentials import Principal, Scope
from contracts.auth.tiers import Tier
from gateway.edge.admission import AddressRateLimits, Admission
from gateway.edge.capacity_limit import CapacityLimit
from gateway.edge.denials import DenialReporter
from gateway.edge.rate_limits.domain import per_minute_policy
from gateway.edge.rate_limits.service import RateLimiter
from gateway.edge.rate_limits.store import RateLimitStore
from stack.ports import find_free_ports
from tests.kit.nats import NatsServer
from tests.kit.postgres import PostgresServer
from tests.kit.scripted import Script
from tests.kit.scripted_auth import UNLIMITED
from tests.kit.waiting import until

KEY = {"X-API-Key": "alice-key"}
PATH = "/api/v1/me/not-there"  # routed and then refused, so that only the gateway is measured
LIMIT = 600
PLENTY = 1_000_000
WARM_UP = 200
ADMITTED = 404


@asynccontextmanager
async def gateway(nats_url: str, database_url: str, folder: str, **more: str) -> AsyncIterator[tuple[str, Process]]:
    """Run a gateway in its own process; yields its origin and the process."""
    port = find_free_ports(1)[0]
    environment = {
        "PATH": os.environ["PATH"],
        "GATEWAY_PORT": str(port),
        "GATEWAY_NATS_URL": nats_url,
        "GATEWAY_DATABASE_URL": database_url,
        "GATEWAY_SECRET_KEY": "a secret key that only this measurement uses",
        "GATEWAY_ARTIFACTS_URL": f"file://{folder}",
        "GATEWAY_LOG_LEVEL": "ERROR",
        **more,
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "gateway", "serve", env=environment)
    origin = f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient(trust_env=False) as http:

            async def ready() -> bool:
                try:
                    return (await http.get(f"{origin}/readyz")).status_code == 200
                except httpx.TransportError:
                    return False

            await until(ready)
        yield origin, process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def measure_cost(script: Script, where: tuple[str, str, str], rounds: int) -> None:
    """Print the latency of a request with and without rate limits."""
    limits = UNLIMITED.model_copy(update={"requests_per_minute": PLENTY})
    script.auth.change(script.alice, limits=limits, own_limits=True)
    took: dict[str, list[float]] = {"counted": [], "not counted": []}
    async with (
        gateway(*where) as (counting, _),
        gateway(*where, RATE_LIMIT_ENABLED="false") as (free, _),
        httpx.AsyncClient(trust_env=False, timeout=10) as http,
    ):
        for number in range(rounds + WARM_UP):
            for values, origin in zip(took.values(), (counting, free), strict=True):
                began = perf_counter()
                answer = await http.get(origin + PATH, headers=KEY)
                if number >= WARM_UP:
                    values.append((perf_counter() - began) * 1000)
                if (answer.status_code, "ratelimit" in answer.headers) != (ADMITTED, origin == counting):
                    raise ValueError(answer.text)
    for name, values in took.items():
        cuts = statistics.quantiles(values, n=100)
        print(f"{name:12} p50 {cuts[49]:6.3f} ms   p95 {cuts[94]:6.3f} ms   n={len(values)}")
    added = statistics.median(took["counted"]) - statistics.median(took["not counted"])
    print(f"added        p50 {added:6.3f} ms   (target: at most 1)")


def _unused(_user_id: UUID, _method: str, _path: str) -> None:
    pass


class _KnownPrincipal:
    """An identity provider that accepts every credential."""

    def __init__(self, principal: Principal) -> None:
        self._principal = principal

    def find_cached(self, _credential: str) -> Principal | None:
        return self._principal

    async def authenticate(self, _credential: str) -> Principal:
        return self._principal


async def measure_middleware(script: Script, database_url: str, rounds: int) -> None:
    """Print the latency of the middleware alone."""
    database = Database(database_url, name="measurement")
    rates = AddressRateLimits(
        RateLimiter(RateLimitStore(database)),
        login=per_minute_policy("login", 30, strict=True),
        open=per_minute_policy("open", 120),
        register=per_minute_policy("register", 5, strict=True),
        register_network=per_minute_policy("register-network", 20, strict=True),
        links=per_minute_policy("links", PLENTY),
    )
    principal = Principal(
        user_id=script.alice, username="u", tier=Tier.PRO, role=Role.USER, scopes=(Scope.JOBS_READ,),
        requests_per_minute=PLENTY,
    )  # fmt: skip
    start = {"type": "http.response.start", "status": 200, "headers": []}

    async def app(_scope: AsgiScope, _receive: Receive, send: Send) -> None:
        await send(dict(start))

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def ignore(_message: Message) -> None:
        pass

    headers = [(b"host", b"fleet.example"), (b"accept", b"*/*"), (b"user-agent", b"x"), (b"x-api-key", b"alice-key")]
    for name, counted in (("counting", rates), ("not counting", None)):
        admission = Admission(
            app,
            identity=_KnownPrincipal(principal),
            clients=ClientAddressResolver(()),
            rates=counted,
            find_link_owner=lambda _path, _query: None,
            count_request=_unused,
            denials=DenialReporter(
                Bus("nats://127.0.0.1:1", name="measurement", user=None, password=None, inbox_prefix="_INBOX")
            ),
            bodies=CapacityLimit(total=1 << 20, per_client=1 << 20, clock=perf_counter),
        )
        values = []
        for _ in range(rounds * 10):
            scope = {"type": "http", "path": "/x", "method": "GET", "headers": headers, "client": ("127.0.0.1", 1)}
            began = perf_counter()
            await admission(scope, receive, ignore)
            values.append((perf_counter() - began) * 1e6)
            await asyncio.sleep(0)
        print(f"middleware alone, {name:12} p50 {statistics.median(values):6.1f} us   n={len(values)}")
    await rates.limiter.stop()
    await database.close()


async def measure_exactness(script: Script, where: tuple[str, str, str], seconds: float) -> None:
    """Print how many requests were accepted, and how many are allowed."""
    limits = UNLIMITED.model_copy(update={"requests_per_minute": LIMIT})
    script.auth.keys["crowd-key"] = crowd = script.bob
    script.auth.change(crowd, limits=limits, own_limits=True)
    passed, refused, failed = [0, 0, 0], [0, 0, 0], 0
    async with gateway(*where) as one, gateway(*where) as two, gateway(*where) as three:
        replicas = (one, two, three)
        began = perf_counter()

        async def ask_on(number: int) -> None:
            nonlocal failed
            async with httpx.AsyncClient(trust_env=False, timeout=10) as http:
                while perf_counter() - began < seconds:
                    try:
                        answer = await http.get(replicas[number][0] + PATH, headers={"X-API-Key": "crowd-key"})
                    except httpx.TransportError:
                        failed += 1
                        return
                    if answer.status_code not in {ADMITTED, 429}:
                        raise ValueError(answer.text)
                    (passed if answer.status_code == ADMITTED else refused)[number] += 1

        async def kill_one() -> None:
            await asyncio.sleep(seconds / 3)
            three[1].kill()

        await asyncio.gather(kill_one(), *(ask_on(number) for number in range(3) for _ in range(4)))
        allowed = LIMIT + (perf_counter() - began) * LIMIT / 60
    print(f"by replica: passed {passed}, refused {refused}; the third was killed, {failed} connections broke")
    ratio = sum(passed) / allowed
    print(f"passed {sum(passed)} of {allowed:.1f} allowed: {ratio:.3f}   (target: 0.95 to 1)")
    if not 0.95 <= ratio <= 1:
        raise SystemExit(1)


async def measure(rounds: int, seconds: float) -> None:
    """Run all measurements."""
    nats, postgres = NatsServer(), PostgresServer()
    try:
        await nats.start()
        await postgres.create()
        script = Script(nats.url)
        await script.start()
        database_url = await postgres.create_database("gateway")
        with tempfile.TemporaryDirectory() as folder:
            where = (nats.url, database_url, folder)
            await measure_cost(script, where, rounds)
            await measure_middleware(script, database_url, rounds)
            await measure_exactness(script, where, seconds)
        await script.stop()
    finally:
        postgres.remove()
        nats.remove()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=6)
    arguments = parser.parse_args()
    asyncio.run(measure(arguments.rounds, arguments.seconds))
