"""Services read their settings from variables without a prefix."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
import pytest

from contracts.registry import DATABASES
from stack.__main__ import _read_comfyui_urls
from stack.ports import find_free_ports
from stack.processes import ChildProcess, ForkServerClient, PythonProcess
from tests.kit.fleet import HELLO
from tests.kit.http import http_client
from tests.kit.nats import NatsServer
from tests.kit.postgres import PostgresServer
from tests.kit.waiting import until

ADA = {"username": "ada", "email": "ada@example.com", "password": "a lighthouse needs a supervisor"}
SERVICES = ("auth", "scheduler", "gateway", "executor")


@dataclass
class StartedSystem:
    """The environment, and the URL of the gateway."""

    http: httpx.AsyncClient
    uploads: Path
    logs: Path


class Machine:
    """Runs programs with exactly the given environment, as forks of a process that has imported them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._fork_server = ForkServerClient(folder / "fork_server.log")

    async def start(self, name: str, *argv: str, **environment: str) -> ChildProcess:
        env = {"PATH": os.environ["PATH"], **environment}
        module = f"{name}.__main__"
        return await self._fork_server.spawn(PythonProcess(name, module, argv, env, str(self._folder / name)))

    async def migrate(self, service: str, **environment: str) -> None:
        async with asyncio.timeout(60):
            assert await (await self.start(service, "migrate", **environment)).wait() == 0

    async def stop(self) -> None:
        await self._fork_server.close()


async def execute_for_each_database(server: PostgresServer, statement: str) -> None:
    connection = await asyncpg.connect(server._dsn("postgres"))
    try:
        for name in DATABASES:
            await connection.execute(statement.format(name))
    finally:
        await connection.close()


@pytest.fixture
async def started(postgres_server: PostgresServer, tmp_path: Path) -> AsyncIterator[StartedSystem]:
    node, *ports = find_free_ports(5)
    port = dict(zip(SERVICES, map(str, ports), strict=True))
    nats, machine = NatsServer(), Machine(tmp_path)
    plain = {
        "NATS_URL": nats.url,
        "DATABASE_URL": postgres_server._dsn("").replace("postgresql://", "postgresql+asyncpg://"),
        "SECRET_KEY": "one secret key that all services use",
        "ACCESS_TOKEN_EXPIRE_MINUTES": "7",
        "RATE_LIMIT_ENABLED": "false",
        "COMFYUI_URL": f"http://127.0.0.1:{node}",
        "UPLOAD_DIR": str(tmp_path / "uploads"),
        "MAX_UPLOAD_SIZE": "2000",
        "LOG_LEVEL": "WARNING",
    }
    own = {
        "gateway": {"GATEWAY_INTERNAL_URL": f"http://127.0.0.1:{port['gateway']}"},
        "executor": {"EXECUTOR_NODE": "n", "EXECUTOR_JOURNAL_PATH": str(tmp_path / "journal.db")},
    }
    await execute_for_each_database(postgres_server, 'CREATE DATABASE "{}"')
    try:
        await nats.start()
        await machine.start("simnode", "--port", str(node))
        for name in SERVICES:
            if name in DATABASES:
                await machine.migrate(name, **plain)
            await machine.start(name, "serve", **plain, **{f"{name.upper()}_PORT": port[name]}, **own.get(name, {}))
        async with http_client(base_url=f"http://127.0.0.1:{port['gateway']}", timeout=60) as http:
            yield StartedSystem(http, tmp_path / "uploads", tmp_path)
    finally:
        await machine.stop()
        nats.remove()
        await execute_for_each_database(postgres_server, 'DROP DATABASE "{}" WITH (FORCE)')


@pytest.mark.timeout(300)
@pytest.mark.requirement(
    "setting NATS_URL",
    "setting DATABASE_URL",
    "setting SECRET_KEY",
    "setting ACCESS_TOKEN_EXPIRE_MINUTES",
    "setting RATE_LIMIT_ENABLED",
    "setting UPLOAD_DIR",
    "setting LOG_LEVEL",
    "setting COMFYUI_URL",
    "setting MAX_UPLOAD_SIZE",
)
async def test_services_read_settings_from_names_without_a_prefix(started: StartedSystem) -> None:
    async def ready() -> bool:
        try:
            return (await started.http.get("/readyz")).status_code == 200
        except httpx.HTTPError:
            return False

    await until(ready, within_s=90)

    async def is_registered() -> bool:
        answer = await started.http.post("/api/v1/auth/register", json=ADA)
        return answer.status_code in {201, 409}  # 409: an earlier try succeeded, but its response was late

    await until(is_registered, within_s=60)  # the gateway may be ready before auth is
    session = await started.http.post("/api/v1/auth/login", json={name: ADA[name] for name in ("username", "password")})
    assert session.json()["expires_in"] == 7 * 60
    assert "ratelimit" not in session.headers
    headers = {"Authorization": f"Bearer {session.json()['access_token']}"}

    async def runs() -> bool:
        answer = await started.http.post("/api/v1/generate", json={"workflow": HELLO}, headers=headers, timeout=60)
        return answer.status_code == 200

    await until(runs, within_s=100)
    picture = b"\x89PNG"
    assert any(path.read_bytes().startswith(picture) for path in started.uploads.rglob("*") if path.is_file())
    large = await started.http.post(
        "/api/v1/upload", files={"file": ("a.png", picture + b"\r\n\x1a\n" + bytes(2400))}, headers=headers
    )
    assert large.status_code == 413, large.text
    levels = [path.read_text() for path in started.logs.iterdir() if path.name in SERVICES]
    assert not any('"level": "info"' in text or "[info" in text for text in levels)


@pytest.mark.requirement("setting COMFYUI_URLS")
@pytest.mark.parametrize("name", ["COMFYUI_URL", "COMFYUI_URLS"])
def test_dev_up_takes_its_nodes_from_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for unset in ("COMFYUI_URL", "COMFYUI_URLS"):
        monkeypatch.delenv(unset, raising=False)
    monkeypatch.setenv(name, "http://10.0.0.1:8188, http://10.0.0.2:8188,")
    assert _read_comfyui_urls() == ("http://10.0.0.1:8188", "http://10.0.0.2:8188")
