"""Cached replies of other services, while these change concurrently."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from chassis.messaging.bus import Bus
from contracts.auth.credentials import READ_KEYSET, Keyset, Principal, ReadKeyset, VerifyCredential
from contracts.permissions import inbox_prefix
from contracts.scheduler.usage import READ_TENANT_USAGE, Quota, ReadTenantUsage, TenantUsage
from contracts.wire.errors import Refusal, Unavailable
from contracts.wire.topic import Address
from gateway.accounts.public_keys import PublicKeys
from gateway.accounts.user_cache import UserCache
from tests.kit.calling_bus import LongTimeoutBus
from tests.kit.nats import NatsServer
from tests.kit.scripted import Script
from tests.kit.waiting import until


@pytest.fixture
async def bus(nats_server: NatsServer) -> AsyncIterator[Bus]:
    bus = LongTimeoutBus(
        nats_server.url, name="gateway", user=None, password=None, inbox_prefix=inbox_prefix("gateway")
    )
    await bus.start()
    yield bus
    await bus.stop()


async def _alice(script: Script) -> Principal:
    address = Address(tenant="", key="")
    return await script.auth.verify(VerifyCredential.model_validate({"credential": "alice-key"}), address)


async def test_usage_that_changes_during_a_request_is_not_cached(nats_server: NatsServer, bus: Bus) -> None:
    script, gate, asked = Script(nats_server.url), asyncio.Event(), list[int]()

    async def read(_: ReadTenantUsage, _address: Address) -> TenantUsage:
        asked.append(number := len(asked) + 1)
        if number == 1:
            await gate.wait()
        quota = Quota(limit=10, used=number, resets_at=datetime.now(UTC) + timedelta(hours=1))
        return TenantUsage(quota=quota, running=0, queued=0)

    script.scheduler_bus.serve(READ_TENANT_USAGE, read)
    await script.start()
    try:
        users, who = UserCache(bus), await _alice(script)
        early = asyncio.create_task(users.read_user(who))
        await until(lambda: asked == [1])
        users.drop_cached_usage(who.user_id)
        assert (await users.read_user(who)).used_today == 2
        gate.set()
        assert (await early).used_today == 1, "it was requested before the change"
        assert (await users.read_user(who)).used_today >= 2
    finally:
        await script.stop()


async def test_concurrent_readers_of_the_keyset_share_one_request(nats_server: NatsServer, bus: Bus) -> None:
    gate, asked = asyncio.Event(), list[int]()
    auth = Bus(nats_server.url, name="auth", user=None, password=None, inbox_prefix=inbox_prefix("auth"))

    async def read(_: ReadKeyset, _address: Address) -> Keyset:
        asked.append(1)
        await gate.wait()
        raise Unavailable(service="auth")

    auth.serve(READ_KEYSET, read)
    await auth.start()
    try:
        keys = PublicKeys(bus)
        readers = [asyncio.create_task(keys.read_keyset()) for _ in range(5)]
        await until(lambda: bool(asked))
        gate.set()
        answers = await asyncio.gather(*readers, return_exceptions=True)
        assert [isinstance(answer, Refusal) for answer in answers] == [True] * 5
        assert len(asked) == 1
    finally:
        await auth.stop()
