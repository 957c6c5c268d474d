"""Fixtures of a gateway with real sockets, NATS and PostgreSQL, and with fake auth and scheduler services."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import asyncpg
import httpx
import pytest

from gateway.artifact_store.domain import StoreIdentity, format_marker
from gateway.settings import Settings
from gateway.storage.objects import MARKER_KEY
from stack.ports import find_free_ports
from tests.integration.gateway.long_timeouts import CONVERSIONS, client_with_long_timeout, create_app_with_long_timeouts
from tests.integration.gateway.real_auth import House, house_at
from tests.kit.http import http_client
from tests.kit.nats import NatsServer, running_nats
from tests.kit.postgres import PostgresServer
from tests.kit.scripted import Script
from tests.kit.serving import serving
from tests.kit.waiting import until

ALICE = {"X-API-Key": "alice-key"}
BOB = {"X-API-Key": "bob-key"}
PUBLIC = "https://fleet.example"
MAX_OUTPUT_BYTES = 20_000_000


STORE = StoreIdentity(UUID("0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee"), datetime(2026, 1, 1, tzinfo=UTC))
"""All tests share a database, so every folder has the marker of its one store."""


@pytest.fixture(scope="package")
async def database_url(postgres_server: PostgresServer) -> str:
    url = await postgres_server.create_database("gateway")
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    await connection.execute("INSERT INTO artifact_store (store_id) VALUES ($1)", STORE.store_id)
    await connection.close()
    return url


@pytest.fixture
async def own_database(postgres_server: PostgresServer) -> str:
    """A database that no other test uses."""
    return await postgres_server.create_database("gateway")


def mark(folder: Path) -> None:
    """Write the store marker into this folder, so that the store belongs to the tests' database."""
    marker = folder / MARKER_KEY
    marker.parent.mkdir(parents=True, exist_ok=True)
    marker.write_bytes(format_marker(STORE))


def shares_gateway(request: pytest.FixtureRequest) -> bool:
    return request.node.get_closest_marker("shares_gateway") is not None


@pytest.fixture
async def script(
    request: pytest.FixtureRequest, nats_server: NatsServer, shared_script: Script
) -> AsyncIterator[Script]:
    """Fake auth and scheduler services for ``gateway``, without jobs."""
    if shares_gateway(request):
        shared_script.reset()
        yield shared_script
        return
    script = Script(nats_server.url)
    await script.start()
    yield script
    await script.stop()


def stored_files(folder: Path) -> list[Path]:
    """Return every file of a store except its marker."""
    return [path for path in folder.rglob("*") if path.is_file() and path != folder / MARKER_KEY]


@dataclass
class Gateway:
    """A running gateway, with an HTTP client and its artifact folder."""

    http: httpx.AsyncClient
    origin: str
    folder: Path
    nats_url: str


def settings_for(nats_url: str, database_url: str, folder: Path, **more: object) -> Settings:
    mark(folder)
    return Settings.model_validate(
        {
            "nats_url": nats_url,
            "database_url": database_url,
            "secret_key": "0123456789abcdef0123456789abcdef",
            "artifacts_url": folder.as_uri(),
            "public_url": PUBLIC,
            "docs_public": True,
            "open_per_minute": 1_000_000,  # all tests share one client address
            "login_per_minute": 1_000_000,
            "register_per_hour": 1_000_000,
            "register_network_per_hour": 1_000_000,
        }
        | CONVERSIONS
        | more
    )


@pytest.fixture
async def gateway(  # noqa: PLR0917 - pytest passes them by name
    request: pytest.FixtureRequest,
    nats_server: NatsServer,
    database_url: str,
    script: Script,  # noqa: ARG001 - it answers the gateway
    shared_gateway: Gateway,
    tmp_path: Path,
) -> AsyncIterator[Gateway]:
    """A gateway without artifacts and records.

    Tests marked with ``shares_gateway`` use the same gateway in turn, which saves each a second of CPU. They must not
    change accounts or services, because gateways cache both.
    """
    if shares_gateway(request):
        await empty(shared_gateway, database_url)
        yield shared_gateway
        return
    folder = tmp_path / "arti facts"
    app = create_app_with_long_timeouts(
        settings_for(nats_server.url, database_url, folder, max_output_bytes=MAX_OUTPUT_BYTES)
    )
    async with serving(app) as at, client_with_long_timeout(at) as http:
        await until_ready(http)
        yield Gateway(http, f"http://{at}", folder, nats_server.url)


async def empty(gateway: Gateway, database_url: str) -> None:
    """Delete the artifacts of earlier tests and what the gateway stored about them."""
    for path in stored_files(gateway.folder):
        path.unlink(missing_ok=True)  # the gateway may delete an interrupted upload first
    connection = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    try:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
        names = [row["tablename"] for row in tables if row["tablename"] not in {"artifact_store", "alembic_version"}]

        async def is_truncated() -> bool:
            try:
                await connection.execute(f"TRUNCATE {', '.join(names)}")
            except asyncpg.DeadlockDetectedError:  # with a background task of the gateway
                return False
            return True

        await until(is_truncated)
    finally:
        await connection.close()


@pytest.fixture(scope="package")
async def shared_nats() -> AsyncIterator[NatsServer]:
    """A separate NATS server, because a test's own ``script`` serves the same requests on the other one."""
    async with running_nats() as server:
        yield server


@pytest.fixture(scope="package")
async def shared_script(shared_nats: NatsServer) -> AsyncIterator[Script]:
    """Fake services for ``shared_gateway``. Tests use them to assert that nothing was submitted."""
    script = Script(shared_nats.url)
    await script.start()
    yield script
    await script.stop()


@pytest.fixture(scope="package")
async def shared_gateway(
    shared_nats: NatsServer,
    database_url: str,
    shared_script: Script,  # noqa: ARG001 - it answers the gateway
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Gateway]:
    """One gateway for many tests. Tests of refused requests use it directly, because only ``gateway`` empties it.

    After its start it removes no expired or purged data: tests with gateways of their own have rows in this database
    whose files are not in its folder, and whose jobs its scheduler does not know.
    """
    folder = tmp_path_factory.mktemp("shared arti facts")
    never = {"remains_every_s": 86_400, "uploads_sweep_s": 86_400}
    settings = settings_for(shared_nats.url, database_url, folder, max_output_bytes=MAX_OUTPUT_BYTES, **never)
    app = create_app_with_long_timeouts(settings)
    async with serving(app) as at, client_with_long_timeout(at) as http:
        await until_ready(http)
        yield Gateway(http, f"http://{at}", folder, shared_nats.url)


async def until_ready(http: httpx.AsyncClient) -> None:
    async def ready() -> bool:
        return (await http.get("/readyz")).status_code == 200

    await until(ready)


@asynccontextmanager
async def process(
    nats_url: str, database_url: str, folder: Path, *, port: int = 0, **environment: str
) -> AsyncIterator[tuple[Gateway, int]]:
    """Run the gateway as a separate process, on this port or a free one. Yield it and its pid; a test may kill it."""
    mark(folder)
    at = port or find_free_ports(1)[0]
    told = {
        "GATEWAY_NATS_URL": nats_url, "GATEWAY_DATABASE_URL": database_url,
        "GATEWAY_SECRET_KEY": "0123456789abcdef0123456789abcdef",
        "GATEWAY_ARTIFACTS_URL": folder.as_uri(), "GATEWAY_PORT": str(at), "GATEWAY_LOG_LEVEL": "ERROR",
    }  # fmt: skip
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", "serve", env=os.environ | told | environment
    )
    origin = f"http://127.0.0.1:{at}"
    try:
        async with http_client(base_url=origin, timeout=30) as http:

            async def answers() -> bool:
                try:
                    return (await http.get("/readyz")).status_code == 200
                except httpx.TransportError:
                    return False

            await until(answers, within_s=90)  # a loaded machine takes long to start a process
            yield Gateway(http, origin, folder, nats_url), running.pid
    finally:
        with suppress(ProcessLookupError):
            running.kill()
        await running.wait()


@pytest.fixture(scope="package")
async def house(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A gateway with the real auth service, on a separate NATS server."""
    async with (
        running_nats() as server,
        house_at(server, postgres_server, tmp_path_factory.mktemp("house")) as house,
    ):
        yield house
