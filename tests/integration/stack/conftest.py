"""Real servers for tests of the stack's components."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from nats.aio.client import Client

from stack.credentials import Secrets
from stack.layout import StateLayout
from stack.nats_server import Nats
from stack.ports import find_free_ports

TENANT = "0193a6c0-0000-7000-8000-000000000001"
OTHER_TENANT = "0193a6c0-0000-7000-8000-000000000002"


async def until(holds: Callable[[], Awaitable[bool]], within_s: float = 30) -> None:
    """Wait for a condition in another process."""
    async with asyncio.timeout(within_s):
        while not await holds():  # noqa: ASYNC110 - nobody here could set an event
            await asyncio.sleep(0.02)


class Clients:
    """NATS clients by login, with the permission errors that the server sent them."""

    def __init__(self, server: Nats) -> None:
        self._server = server
        self._open: list[Client] = []
        self.refusals: asyncio.Queue[str] = asyncio.Queue()

    async def __call__(self, login: str, inbox: str = "_INBOX") -> Client:
        async def refused(error: Exception) -> None:
            await self.refusals.put(str(error).lower())

        client = Client()
        await client.connect(
            self._server.url,
            user=login,
            password=self._server.secrets.password(f"nats-{login}"),
            inbox_prefix=inbox.encode(),
            error_cb=refused,
            max_reconnect_attempts=0,
        )
        self._open.append(client)
        return client

    async def refused(self, subject: str) -> None:
        """Wait until the server has refused a publish or a subscription."""
        async with asyncio.timeout(5):
            while subject.lower() not in await self.refusals.get():
                pass

    async def close(self) -> None:
        for client in self._open:
            await client.close()


@pytest.fixture(scope="package")
async def nats_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Nats]:
    layout = StateLayout(tmp_path_factory.mktemp("nats"))
    layout.create()
    port, monitor = find_free_ports(2)
    server = Nats(layout, Secrets.load(layout.secrets), port, monitor, ("node-1", "node-2"))
    server.configure(TENANT)
    child = await server.start()
    await until(server.ready)
    yield server
    await child.stop(signal.SIGTERM, 5)


@pytest.fixture
async def connect(nats_server: Nats) -> AsyncIterator[Clients]:
    clients = Clients(nats_server)
    yield clients
    await clients.close()


@pytest.fixture
def layout(tmp_path: Path) -> StateLayout:
    layout = StateLayout(tmp_path / "state")
    layout.create()
    return layout
