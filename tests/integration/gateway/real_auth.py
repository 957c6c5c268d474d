"""A gateway with the real auth service, on real sockets, NATS and PostgreSQL; the scheduler is a fake."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from auth.app import create_app as create_auth
from auth.commands import bootstrap_user
from auth.settings import Settings as AuthSettings
from chassis.messaging.bus import Bus
from contracts.auth.accounts import Role
from contracts.auth.tiers import Tier
from contracts.permissions import inbox_prefix
from contracts.scheduler.usage import READ_TENANT_USAGE, Quota, ReadTenantUsage, TenantUsage
from contracts.wire.topic import Address
from gateway.settings import Settings
from tests.integration.gateway.long_timeouts import client_with_long_timeout, create_app_with_long_timeouts
from tests.kit.nats import NatsServer
from tests.kit.postgres import PostgresServer
from tests.kit.serving import serving
from tests.kit.waiting import until

PASSWORD = "seventeen blue lanterns at sea"


class Uses:
    """A fake scheduler that returns the usage of tenants and counts the requests for it."""

    def __init__(self, nats_url: str) -> None:
        self._nats_url = nats_url
        self.asked = 0
        self.used: dict[UUID, int] = {}
        self.limit: int | None = 10

    async def start(self) -> None:
        """Start to answer requests. May be called again after ``stop``."""
        self._bus = Bus(
            self._nats_url, name="scheduler", user=None, password=None, inbox_prefix=inbox_prefix("scheduler")
        )
        self._bus.serve(READ_TENANT_USAGE, self._read)
        await self._bus.start()

    async def stop(self) -> None:
        """Stop answering requests."""
        await self._bus.stop()

    async def _read(self, _: ReadTenantUsage, address: Address) -> TenantUsage:
        self.asked += 1
        used = self.used.get(UUID(address.tenant), 0)
        resets_at = datetime.now(UTC) + timedelta(hours=1)
        return TenantUsage(quota=Quota(limit=self.limit, used=used, resets_at=resets_at), running=1, queued=2)


@dataclass
class House:
    """A running gateway and auth service; ``http`` sends no credential."""

    http: httpx.AsyncClient
    uses: Uses
    admin: dict[str, str]

    async def lets_in(self) -> bool:
        """Return whether the gateway is ready and accepts the admin's key."""
        ready = await self.http.get("/readyz")
        return ready.status_code == 200 == (await self.http.get("/api/v1/auth/me", headers=self.admin)).status_code

    async def account(self, **more: str) -> dict[str, Any]:
        """Register a user and return it."""
        name = f"u{secrets.token_hex(5)}"
        body = {"username": name, "email": f"{name}@example.com", "password": PASSWORD} | more
        answer = await self.http.post("/api/v1/auth/register", json=body)
        assert answer.status_code == 201, answer.text
        user: dict[str, Any] = answer.json()
        return user

    async def session(self, username: str) -> dict[str, Any]:
        """Log the user in and return the session. Repeat the request while auth is too busy."""
        answer: dict[str, Any] = {}

        async def is_answered() -> bool:
            nonlocal answer
            credentials = {"username": username, "password": PASSWORD}
            answer = (await self.http.post("/api/v1/auth/login", json=credentials)).json()
            return answer.get("code") != "auth.busy"

        await until(is_answered)
        assert "access_token" in answer, answer
        return answer

    async def user(self) -> tuple[dict[str, Any], dict[str, str]]:
        """Register a user. Return it and the Authorization header of a session."""
        user = await self.account()
        return user, bearer(await self.session(user["username"]))


def bearer(session: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {session['access_token']}"}


@asynccontextmanager
async def house_at(
    nats: NatsServer, postgres: PostgresServer, folder: Path, **settings: object
) -> AsyncIterator[House]:
    """Run the gateway and auth on this NATS server, each with its own database."""
    auth_settings = AuthSettings.model_validate(
        {
            "nats_url": nats.url,
            "database_url": await postgres.create_database("auth"),
            "secret_key": "0123456789abcdef0123456789abcdef",
        }
    )
    made = await bootstrap_user(auth_settings, username="root", email=None, role=Role.ADMIN, tier=Tier.ENTERPRISE)
    uses = Uses(nats.url)
    await uses.start()
    values = {
        "nats_url": nats.url,
        "database_url": await postgres.create_database("gateway"),
        "secret_key": "0123456789abcdef0123456789abcdef",
        "artifacts_url": folder.as_uri(),
        "login_per_minute": 100_000,
        "register_per_hour": 100_000,
        "register_network_per_hour": 100_000,
    }
    gateway = create_app_with_long_timeouts(Settings.model_validate(values | settings))
    try:
        async with (
            serving(create_auth(auth_settings)),
            serving(gateway) as at,
            client_with_long_timeout(at) as http,
        ):
            house = House(http, uses, {"X-API-Key": made["key"]})
            await until(house.lets_in)
            yield house
    finally:
        await uses.stop()
