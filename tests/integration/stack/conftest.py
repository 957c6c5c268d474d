"""Real servers for tests of the stack's components."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nats.aio.client import Client

from stack.credentials import Secrets
from stack.layout import StateLayout
from stack.nats_server import NatsServer
from stack.ports import find_free_ports
from tests.kit.waiting import until

TENANT = "0193a6c0-0000-7000-8000-000000000001"
OTHER_TENANT = "0193a6c0-0000-7000-8000-000000000002"


class Clients:
    """NATS clients by login, with the permission errors that the server sent them."""

    def __init__(self, server: NatsServer) -> None:
        self._server = server
        self._open: list[Client] = []
        self.refusals: asyncio.Queue[str] = asyncio.Queue()

    async def __call__(self, login: str, inbox: str = "_INBOX") -> Client:
        async def record_refusal(error: Exception) -> None:
            await self.refusals.put(str(error).lower())

        client = Client()
        await client.connect(
            self._server.url,
            user=login,
            password=self._server.secrets.get_or_create_password(f"nats-{login}"),
            inbox_prefix=inbox.encode(),
            error_cb=record_refusal,
            max_reconnect_attempts=0,
            connect_timeout=20,
        )
        self._open.append(client)
        return client

    async def wait_for_refusal(self, subject: str) -> None:
        """Wait until the server has refused a publish or a subscription."""
        async with asyncio.timeout(20):
            while subject.lower() not in await self.refusals.get():
                pass

    async def close(self) -> None:
        for client in self._open:
            await client.close()


@pytest.fixture(scope="package")
async def nats_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[NatsServer]:
    layout = StateLayout(tmp_path_factory.mktemp("nats"))
    layout.create()
    port, monitor = find_free_ports(2)
    server = NatsServer(layout, Secrets.load(layout.secrets_file), port, monitor, ("node-1", "node-2"))
    server.write_config(TENANT)
    child = await server.start()
    await until(server.is_ready)
    yield server
    await child.stop(signal.SIGTERM, 5)


@pytest.fixture
async def connect(nats_server: NatsServer) -> AsyncIterator[Clients]:
    clients = Clients(nats_server)
    yield clients
    await clients.close()


@pytest.fixture
def layout(tmp_path: Path) -> StateLayout:
    layout = StateLayout(tmp_path / "state")
    layout.create()
    return layout
