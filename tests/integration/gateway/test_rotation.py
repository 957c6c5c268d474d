"""Every secret is rotated as docs/operations/secrets.md describes, with two replicas that take over from each other."""

import asyncio
import secrets
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from auth.app import create_app as create_auth
from auth.commands import bootstrap_user, count_keys_by_secret_key
from auth.settings import Settings as AuthSettings
from chassis.database.migrate import upgrade
from chassis.messaging.bus import Bus
from contracts.auth.accounts import Role
from contracts.auth.tiers import Tier
from contracts.gateway.transfers import GRANT_OUTPUTS, GrantOutputs
from contracts.permissions import inbox_prefix
from gateway.settings import Settings as GatewaySettings
from stack.nats_config import NatsConfig, list_logins, render_nats_config
from tests.integration.gateway.long_timeouts import client_with_long_timeout, create_app_with_long_timeouts
from tests.kit.nats import NatsServer
from tests.kit.postgres import PostgresServer
from tests.kit.serving import serving
from tests.kit.waiting import repeat_until, until

RELOADED = "Reloaded server configuration"  # in the log of nats-server
OLD, NEW = "0123456789abcdef" * 2, "fedcba9876543210" * 2
PASSWORD = "seventeen blue lanterns at sea"
GRAPH = {"1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0}}}
LOGINS = ("sys", *(login for login, _, _ in list_logins(("n1",))))


class NatsLogins:
    """A NATS server whose logins change when its configuration is reloaded."""

    def __init__(self) -> None:
        self.passwords = {login: secrets.token_hex(16) for login in LOGINS}
        self.server = NatsServer(self._render({}))

    async def reload(self, following: dict[str, str]) -> None:
        """Reload with these passwords of the second logins; the first logins have ``passwords``."""
        (self.server.folder / "conf").write_text(self._render(following))
        before = self.server.read_log().count(RELOADED)
        self.server.signal(signal.SIGHUP)
        await until(lambda: self.server.read_log().count(RELOADED) > before)

    def _render(self, following: dict[str, str]) -> str:
        plan = NatsConfig(
            passwords=self.passwords, nodes=("n1",), external_systems=(), next_passwords=following,
            listen="127.0.0.1:0", monitor="127.0.0.1:0", store="store",
        )  # fmt: skip
        lines = render_nats_config(plan).splitlines()  # the test server gets these as flags
        start, end = lines.index("jetstream {"), lines.index("system_account: SYS")
        kept = [line for line in lines[:start] + lines[end:] if not line.startswith(("listen", "http"))]
        return "\n".join(kept)


@dataclass
class Login:
    """A NATS login and a PostgreSQL role of the auth service."""

    nats_user: str
    nats_password: str
    role: str
    role_password: str


class DatabaseRoles:
    """Auth's database, owned by one role; further logins act as that role."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self.name = f"auth_{secrets.token_hex(6)}"

    async def create(self, password: str) -> None:
        await self.run(f"CREATE ROLE {self.name} LOGIN PASSWORD '{password}'")
        await self.run(f"CREATE DATABASE {self.name} OWNER {self.name}")
        await asyncio.to_thread(upgrade, "auth", self.url(self.name, password))

    async def run(self, statement: str) -> None:
        connection = await asyncpg.connect(self._server._dsn("postgres"))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    def url(self, role: str, password: str) -> str:
        return f"postgresql+asyncpg://{role}:{password}@127.0.0.1:{self._server.port}/{self.name}"


@dataclass
class Issued:
    """Credentials that were issued before the rotation and must stay valid."""

    api_key: str
    derived_key: dict[str, Any]
    session: dict[str, Any]
    cursor: str
    link: str

    async def check(self, http: httpx.AsyncClient) -> None:
        """Check that one gateway accepts each of them."""
        by_key = {"X-API-Key": self.api_key}
        by_token = {"Authorization": f"Bearer {self.session['access_token']}"}
        for headers in (by_key, by_token):
            assert (await http.get("/api/v1/auth/keys", headers=headers)).status_code == 200
        page = await http.get("/api/v1/workflows", params={"limit": 1, "cursor": self.cursor}, headers=by_key)
        assert page.status_code == 200, page.text
        stored = await http.put(self.link, content=b"an output")
        assert stored.status_code == 200, stored.text
        refreshed = await http.post("/api/v1/auth/refresh", json={"refresh_token": self.session["refresh_token"]})
        assert refreshed.status_code == 200, refreshed.text
        self.session = refreshed.json()

    async def check_replay(self, http: httpx.AsyncClient) -> None:
        """Check that repeating the request that created a key returns the same key."""
        assert await create_key(http, {"X-API-Key": self.api_key}) == self.derived_key


async def wait_until_available(http: httpx.AsyncClient, key: str) -> None:
    """Wait until the gateway reaches auth again."""
    await repeat_until(
        lambda answer: answer.status_code != 503, lambda: http.get("/api/v1/auth/keys", headers={"X-API-Key": key})
    )


async def create_key(http: httpx.AsyncClient, headers: dict[str, str]) -> dict[str, Any]:
    request = {"name": "derived"}
    answer = await http.post("/api/v1/auth/keys", json=request, headers=headers | {"Idempotency-Key": "rotation"})
    assert answer.status_code in {200, 201}, answer.text
    key: dict[str, Any] = answer.json()
    return key


@pytest.mark.requirement("rotate.secret-key", "rotate.passwords", "setting SECRET_KEYS", "rotate.first-admin")
async def test_rotation_of_secrets_ends_no_credential(postgres_server: PostgresServer, tmp_path: Path) -> None:
    nats, roles = NatsLogins(), DatabaseRoles(postgres_server)
    first = Login("auth", nats.passwords["auth"], roles.name, secrets.token_hex(16))
    second = Login("auth-next", secrets.token_hex(16), f"{roles.name}_next", secrets.token_hex(16))
    await roles.create(first.role_password)
    gateway_database = await postgres_server.create_database("gateway")

    def auth_settings(login: Login, *keys: str) -> AuthSettings:
        return AuthSettings.model_validate(
            {
                "nats_url": nats.server.url, "nats_user": login.nats_user, "nats_password": login.nats_password,
                "database_url": roles.url(login.role, login.role_password), "secret_keys": ",".join(keys),
            }
        )  # fmt: skip

    @asynccontextmanager
    async def replica(login: Login, *keys: str) -> AsyncIterator[httpx.AsyncClient]:
        """Run auth and a gateway with these secrets."""
        settings = GatewaySettings.model_validate(
            {
                "nats_url": nats.server.url, "nats_user": "gateway", "nats_password": nats.passwords["gateway"],
                "database_url": gateway_database, "secret_keys": ",".join(keys), "artifacts_url": tmp_path.as_uri(),
                "rate_limit_enabled": False,
            }
        )  # fmt: skip
        async with (
            serving(create_auth(auth_settings(login, *keys))) as auth_at,
            serving(create_app_with_long_timeouts(settings)) as at,
            client_with_long_timeout(at) as http,
        ):

            async def ready() -> bool:
                urls = (f"http://{auth_at}/readyz", "/readyz")
                return {(await http.get(url)).status_code for url in urls} == {200}

            await until(ready)
            yield http

    async with AsyncExitStack() as running:
        running.callback(nats.server.remove)
        await nats.server.start()
        replicas = [AsyncExitStack(), AsyncExitStack()]
        for stack in replicas:
            await running.enter_async_context(stack)
        http = await replicas[0].enter_async_context(replica(first, OLD))
        root = await bootstrap_user(
            auth_settings(first, OLD), username="root", email=None, role=Role.ADMIN, tier=Tier.ENTERPRISE
        )
        unused = await bootstrap_user(
            auth_settings(first, OLD), username="unused", email=None, role=Role.USER, tier=Tier.PRO
        )
        issued = await issue(http, nats, root["key"], UUID(root["user_id"]))
        await issued.check(http)

        # SECRET_KEYS=old,new: signatures and hashes still use the old key.
        other = await replicas[1].enter_async_context(replica(first, OLD, NEW))
        await issued.check(other)
        await issued.check(http)
        await replicas[0].aclose()

        # SECRET_KEYS=new,old, with second logins for NATS and PostgreSQL.
        await nats.reload({"auth": second.nats_password})
        await roles.run(f"CREATE ROLE {second.role} LOGIN PASSWORD '{second.role_password}' IN ROLE {roles.name}")
        await roles.run(f"ALTER ROLE {second.role} SET role = '{roles.name}'")
        http = await replicas[0].enter_async_context(replica(second, NEW, OLD))
        for client in (http, other, http):  # both sets of secrets are accepted at the same time
            await issued.check(client)
        await replicas[1].aclose()
        other = await replicas[1].enter_async_context(replica(second, NEW, OLD))  # its gateway has no cached keys
        await issued.check(other)
        await issued.check_replay(other)
        await replicas[1].aclose()
        current, earlier, _ = await count_keys_by_secret_key(auth_settings(second, NEW, OLD))
        assert (current, earlier) == (1, 2)  # the derived key and the other user's key were not used since

        # Cursors and links are short-lived: those in use at this point are signed with the new key.
        issued.cursor, issued.link = await new_cursor(http, root["key"]), await new_link(nats, UUID(root["user_id"]))

        # SECRET_KEY=new, and the first logins are disabled.
        other = await replicas[1].enter_async_context(replica(second, NEW))
        await replicas[0].aclose()
        await roles.run(f"ALTER ROLE {roles.name} NOLOGIN")
        nats.passwords["auth"] = secrets.token_hex(16)
        await nats.reload({"auth": second.nats_password})
        await wait_until_available(other, root["key"])  # the reload closes connections
        await issued.check(other)
        refused = await other.get("/api/v1/auth/keys", headers={"X-API-Key": unused["key"]})
        assert refused.status_code == 401
        with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
            await asyncpg.connect(roles.url(first.role, first.role_password).replace("+asyncpg", ""))

        # Rotate the first admin's key: create another one with the same command, then revoke the old one.
        made = await bootstrap_user(
            auth_settings(second, NEW), username="root", email=None, role=Role.ADMIN, tier=Tier.ENTERPRISE
        )
        by_new, old_id = {"X-API-Key": made["key"]}, root["key"].split("_")[1]
        assert (await other.delete(f"/api/v1/auth/keys/{old_id}", headers=by_new)).status_code == 204

        async def old_is_refused() -> bool:
            answer = await other.get("/api/v1/auth/keys", headers={"X-API-Key": root["key"]})
            return answer.status_code == 401

        await until(old_is_refused)
        assert (await other.get("/api/v1/admin/users", headers=by_new)).status_code == 200


async def issue(http: httpx.AsyncClient, nats: NatsLogins, key: str, tenant: UUID) -> Issued:
    """Issue one credential of each kind."""
    headers = {"X-API-Key": key}
    for name in ("one", "two"):
        saved = await http.put(f"/api/v1/workflows/{name}", json={"workflow": GRAPH}, headers=headers)
        assert saved.status_code == 201, saved.text
    account = {"username": "alice", "email": "alice@example.com", "password": PASSWORD}
    assert (await http.post("/api/v1/auth/register", json=account)).status_code == 201
    login = await http.post("/api/v1/auth/login", json={"username": "alice", "password": PASSWORD})
    return Issued(
        api_key=key,
        derived_key=await create_key(http, headers),
        session=login.json(),
        cursor=await new_cursor(http, key),
        link=await new_link(nats, tenant),
    )


async def new_cursor(http: httpx.AsyncClient, key: str) -> str:
    page = await http.get("/api/v1/workflows", params={"limit": 1}, headers={"X-API-Key": key})
    return str(page.json()["next_cursor"])


async def new_link(nats: NatsLogins, tenant: UUID) -> str:
    """Request an upload link as an executor does. Return its path."""
    executor = Bus(
        nats.server.url,
        name="executor",
        user="executor-n1",
        password=nats.passwords["executor-n1"],
        inbox_prefix=inbox_prefix("executor", "n1"),
    )
    await executor.start()
    granted = await executor.request(
        GRANT_OUTPUTS, GrantOutputs(job_id=uuid4(), attempt=1, count=1), tenant=str(tenant), key="n1"
    )
    await executor.stop()
    return httpx.URL(granted.grants[0].url).path
