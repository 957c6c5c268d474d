import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from executor.app import create_app
from executor.settings import Settings
from stack.processes import ForkServerClient
from tests.integration.executor.processes import ForkedProcess, Nats, Node
from tests.integration.executor.scripted import Gateway, Scheduler

NAME = "node-1"


@pytest.fixture(scope="package")
async def nats_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    server = Nats(tmp_path_factory.mktemp("nats"))
    await server.start()
    yield server.url
    await server.stop()


@pytest.fixture
async def own_nats(tmp_path: Path) -> AsyncIterator[Nats]:
    """A NATS server for one test, which can stop and restart it."""
    server = Nats(tmp_path)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture(scope="package")
async def fork_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ForkServerClient]:
    fork_server = ForkServerClient(tmp_path_factory.mktemp("fork_server") / "log", program="tests.kit.forking")
    await fork_server.start()
    yield fork_server
    await fork_server.close()


@pytest.fixture
async def node(fork_server: ForkServerClient, tmp_path: Path) -> AsyncIterator[Node]:
    node = Node(tmp_path, "--step-ms", "20", fork_server=fork_server)
    await node.start()
    yield node
    await node.stop()


@pytest.fixture
async def scheduler(nats_url: str) -> AsyncIterator[Scheduler]:
    scheduler = Scheduler(nats_url, NAME)
    await scheduler.start()
    yield scheduler
    await scheduler.stop()


@pytest.fixture
async def gateway(nats_url: str) -> AsyncIterator[Gateway]:
    gateway = Gateway(nats_url)
    await gateway.start()
    yield gateway
    await gateway.stop()


@pytest.fixture
def settings(nats_url: str, node: Node, tmp_path: Path) -> Callable[..., Settings]:
    def make(**more: Any) -> Settings:
        values: dict[str, Any] = {
            "node": NAME,
            "comfyui_url": node.url,
            "journal_path": tmp_path / "journal.sqlite",
            "nats_url": nats_url,
            "heartbeat_s": 0.5,
            "poll_s": 0.2,
            "probe_s": 0.2,
            "ask_wait_s": 1.0,
        }
        return Settings(**(values | more))

    return make


@pytest.fixture
async def start_executor(settings: Callable[..., Settings]) -> AsyncIterator[Callable[..., Any]]:
    """A function that runs executors in this process until the test ends."""
    async with AsyncExitStack() as stack:

        async def start(*, wall_clock: Callable[[], float] = time.time, **more: Any) -> None:
            app = create_app(settings(**more), wall_clock=wall_clock)
            await stack.enter_async_context(app.router.lifespan_context(app))

        yield start


@pytest.fixture
def spawn_executor(
    settings: Callable[..., Settings], fork_server: ForkServerClient, tmp_path: Path
) -> Callable[..., Any]:
    """Return a context manager that runs an executor in a separate process and kills it at the end."""

    @asynccontextmanager
    async def spawn(*, log: Path = tmp_path / "executor.log", **more: Any) -> AsyncIterator[ForkedProcess]:
        chosen = settings(**more).model_dump(mode="json", exclude_none=True)
        env = {f"EXECUTOR_{name.upper()}": str(value) for name, value in chosen.items()}
        process = ForkedProcess(fork_server, "executor.__main__", ["serve"], log, env)
        await process.start()
        try:
            yield process
        finally:
            await process.stop(signal.SIGKILL)

    return spawn
