"""Rate limit of handshakes per address, independent of credentials."""

import asyncio
import json
from collections import Counter

import pytest
from websockets.exceptions import InvalidStatus

from contracts.scheduler.jobs import JobState
from notifier.__main__ import build_connection_limits
from notifier.settings import Settings
from tests.integration.notifier.conftest import ALICE, World, frame, rest, states, world_at
from tests.kit.nats import NatsServer
from tests.kit.waiting import until

NOBODY = {"X-API-Key": "nobody"}
PROXY = {"trusted_proxies": "127.0.0.1"}


async def status_of(world: World, headers: dict[str, str], query: str = "") -> int:
    """Return how a handshake ends: 101, or the problem's status."""
    try:
        async with world.watch_many(query, headers=headers):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


def from_(address: str, headers: dict[str, str] = ALICE) -> dict[str, str]:
    return headers | {"X-Forwarded-For": address}


@pytest.mark.requirement("B-80")
async def test_excess_handshakes_of_an_address_are_refused(nats_server: NatsServer, database_url: str) -> None:
    ticket = "?ticket=cft_" + "x" * 43
    async with world_at(nats_server.url, database_url, handshakes_per_minute=20, **PROXY) as world:
        job_id = world.job()
        async with world.watch(job_id, headers=from_("203.0.113.1")) as socket:
            assert (await frame(socket))["type"] == "snapshot"
            attacks = [
                (NOBODY, ""),
                ({}, ticket),
                (ALICE, "?key=alice-key"),
                (ALICE | {"Sec-WebSocket-Protocol": "x"}, ""),
            ]
            told = Counter(
                await asyncio.gather(
                    *[status_of(world, from_("203.0.113.2", sent), query) for sent, query in attacks * 25]
                )
            )
            assert set(told) == {401, 403, 429}
            assert 20 <= told[401] + told[403] <= 30  # some tokens are refilled during the test

            async def is_valid_one_refused() -> bool:  # a token may be refilled before the request
                return await status_of(world, from_("203.0.113.2")) == 429

            await until(is_valid_one_refused)
            assert await status_of(world, from_("203.0.113.3")) == 101  # a handshake from another address is accepted
            await world.happen(job_id, JobState.SUCCEEDED)
            assert states(await rest(socket)) == [(2, "completed")]  # open connections stay open


@pytest.mark.requirement("B-80")
async def test_refused_handshake_carries_retry_after(nats_server: NatsServer, database_url: str) -> None:
    async with world_at(nats_server.url, database_url, handshakes_per_minute=60) as world:

        async def open_until_refused() -> None:
            while True:
                async with world.watch(world.job()):
                    pass

        with pytest.raises(InvalidStatus) as refused:
            async with asyncio.timeout(60):
                await open_until_refused()
        body = json.loads(refused.value.response.body or b"")
        assert (body["status"], body["code"]) == (429, "socket.too_many_handshakes")
        assert refused.value.response.headers["retry-after"] == "1"

        async def opens() -> bool:
            return await status_of(world, ALICE) == 101

        await until(opens)


@pytest.mark.requirement("B-80")
async def test_handshakes_are_counted_by_forwarded_address_and_ipv6_prefix(
    nats_server: NatsServer, database_url: str
) -> None:
    async with world_at(nats_server.url, database_url, handshakes_per_minute=2) as world:
        told = [await status_of(world, from_(f"203.0.113.{n}")) for n in range(3)]  # no proxy is trusted here
        assert told == [101, 101, 429]
        with pytest.raises(InvalidStatus) as refused:
            await world.watch_many().__aenter__()
        assert refused.value.response.headers["retry-after"] == "30"  # two per minute
    async with world_at(nats_server.url, database_url, handshakes_per_minute=2, **PROXY) as world:
        told = [await status_of(world, from_(f"2001:db8::{n}")) for n in range(3)]
        assert told == [101, 101, 429]
        assert await status_of(world, from_("2001:db8:0:1::1")) == 101


def test_trusted_proxy_has_no_connection_limit() -> None:
    base = {"database_url": "postgresql+asyncpg://u@h/"}
    behind = build_connection_limits(Settings.model_validate(base | {"trusted_proxies": "10.0.0.1, 10.1.0.0/16"}))
    assert [behind.is_trusted(one) for one in ("10.0.0.1", "10.1.2.3", "10.0.0.2")] == [True, True, False]
    assert not build_connection_limits(Settings.model_validate(base)).is_trusted("10.0.0.1")
