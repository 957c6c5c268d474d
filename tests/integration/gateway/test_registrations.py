"""Limits of account registrations per address and per network, at their defaults."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from gateway.settings import Settings
from tests.integration.gateway.real_auth import PASSWORD, House, house_at
from tests.kit.nats import NatsServer
from tests.kit.postgres import PostgresServer

BY_ADDRESS, BY_NETWORK = (
    Settings.model_fields[name].default for name in ("register_per_hour", "register_network_per_hour")
)


@pytest.fixture(scope="module")
async def limited(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A gateway and auth behind a proxy that forwards client addresses. Each test must use its own networks."""
    server = NatsServer()
    limits = {"register_per_hour": BY_ADDRESS, "register_network_per_hour": BY_NETWORK}
    try:
        await server.start()
        folder = tmp_path_factory.mktemp("limited")
        async with house_at(server, postgres_server, folder, trusted_proxies="127.0.0.1", **limits) as house:
            yield house
    finally:
        server.remove()


async def register(house: House, address: str, **fields: Any) -> httpx.Response:
    name = f"u{secrets.token_hex(6)}"
    body = {"username": name, "email": f"{name}@example.com", "password": PASSWORD} | fields
    return await house.http.post("/api/v1/auth/register", json=body, headers={"X-Forwarded-For": address})


async def test_concurrent_registrations_from_one_address_are_limited(limited: House) -> None:
    answers = await asyncio.gather(*(register(limited, "198.51.100.1") for _ in range(30)))
    codes = [answer.status_code for answer in answers]
    assert codes.count(429) == 30 - BY_ADDRESS
    assert set(codes) <= {201, 429, 503}, "503: auth was too busy to hash the password; such an attempt counts too"
    assert 201 in codes
    for answer in answers:
        if answer.status_code == 429:
            assert answer.json()["code"] == "rate.exceeded"
            assert 0 < int(answer.headers["retry-after"]) <= 3600 / BY_ADDRESS
        assert answer.headers["ratelimit-policy"] == f'"register";q={BY_ADDRESS};w=3600'


async def test_registration_limit_does_not_block_logins_from_the_address(limited: House) -> None:
    here = {"X-Forwarded-For": "203.0.113.1"}
    made = [await register(limited, here["X-Forwarded-For"]) for _ in range(BY_ADDRESS + 3)]
    assert made[-1].status_code == 429
    credentials = {"username": made[0].json()["username"], "password": PASSWORD}
    login = await limited.http.post("/api/v1/auth/login", json=credentials, headers=here)
    assert login.status_code == 200
    assert (await register(limited, "203.0.113.2")).status_code == 201, "another address of the network"


async def test_addresses_of_one_network_share_a_larger_limit(limited: House) -> None:
    networks = {"192.0.2.{}": "192.0.3.1", "2001:db8:1:{}::1": "2001:db8:2::1"}
    for template, elsewhere in networks.items():
        addresses = [template.format(number) for number in range(1, 9)]
        codes = [(await register(limited, address)).status_code for address in addresses for _ in range(3)]
        assert (codes.count(201), codes.count(429)) == (BY_NETWORK, 24 - BY_NETWORK)
        assert codes[:BY_NETWORK] == [201] * BY_NETWORK
        refused = await register(limited, addresses[0])
        assert refused.headers["ratelimit-policy"] == f'"register-network";q={BY_NETWORK};w=3600'
        assert (await register(limited, elsewhere)).status_code == 201


async def test_ipv6_addresses_of_one_64_prefix_share_a_limit(limited: House) -> None:
    codes = [(await register(limited, f"2001:db8:3::{number + 1}")).status_code for number in range(BY_ADDRESS + 1)]
    assert codes == [201] * BY_ADDRESS + [429]
    assert (await register(limited, "2001:db8:3:1::1")).status_code == 201


async def test_registrations_that_reveal_a_taken_name_are_counted(limited: House) -> None:
    taken = (await register(limited, "198.18.1.1")).json()["username"]
    codes = [(await register(limited, "198.18.2.1", username=taken)).status_code for _ in range(BY_ADDRESS + 2)]
    assert codes == [409] * BY_ADDRESS + [429] * 2


@pytest.mark.parametrize(
    "fields", [{"password": "short"}, {"username": "-"}, {"unknown": 1}, {"invite": "cfi_" + "A" * 43}]
)
async def test_registrations_that_reveal_nothing_are_not_counted(limited: House, fields: dict[str, Any]) -> None:
    address = f"198.18.3.{len(str(fields))}"
    codes = [(await register(limited, address, **fields)).status_code for _ in range(BY_ADDRESS + 5)]
    assert set(codes) <= {422, 403}
    assert [(await register(limited, address)).status_code for _ in range(2)] == [201, 201]
