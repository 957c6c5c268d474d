"""Docker variants of tests.kit.nats and tests.kit.postgres, for ``./dev test --containers``."""

import asyncio
import gc
import secrets
import warnings

import asyncpg
import pytest
from docker.errors import DockerException  # type: ignore[import-untyped]
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient

from chassis.database import migrate
from stack.ports import find_free_ports
from tests.kit.waiting import until

NATS_IMAGE = "nats:2.15-alpine"
POSTGRES_IMAGE = "postgres:18"
READY_S = 60.0  # not counting the pull of the image


def require_engine() -> None:
    """End the session with a one-line message if there is no Docker engine."""
    try:
        engine = DockerClient().client
        engine.ping()
    except (DockerException, OSError) as missing:
        why = f"--containers needs a Docker engine, and none answers: {missing}"
    else:
        engine.close()
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()  # Docker's client leaves the socket of a failed attempt open, which would cause warnings
    pytest.exit(why, returncode=4)


class _Container:
    """A container on a fixed port of the host, because Docker would assign a new one after a restart."""

    def __init__(self, image: str, inside: int, stop_signal: str) -> None:
        self.port = find_free_ports(1)[0]
        self.host = "127.0.0.1"
        self._stop_signal = stop_signal
        self._container = DockerContainer(image).with_bind_ports(inside, self.port)
        self._made = False

    async def start(self) -> None:
        """Start or restart with the stored data, and wait until it responds."""
        await asyncio.to_thread(self._start)
        await until(self._is_responding, READY_S)

    def kill(self) -> None:
        """Kill it; its data is kept."""
        running = self._container.get_wrapped_container()
        running.kill(self._stop_signal)
        running.wait(timeout=10)

    def remove(self) -> None:
        """Stop it and delete its data."""
        self._container.stop()

    def _start(self) -> None:
        if self._made:
            self._container.get_wrapped_container().start()
            return
        self._container.start()
        self._made = True
        self.host = self._container.get_container_host_ip()

    async def _is_responding(self) -> bool:
        raise NotImplementedError


class NatsContainer(_Container):
    """One server with JetStream."""

    def __init__(self) -> None:
        super().__init__(NATS_IMAGE, 4222, "SIGKILL")
        self._container.with_command(["-js", "-sd", "/data"])

    @property
    def url(self) -> str:
        """URL for clients."""
        return f"nats://{self.host}:{self.port}"

    async def _is_responding(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection(self.host, self.port)
            said = await reader.readline()
            writer.close()
            await writer.wait_closed()
        except OSError:
            return False
        return said.startswith(b"INFO")


class PostgresContainer(_Container):
    def __init__(self) -> None:
        super().__init__(POSTGRES_IMAGE, 5432, "SIGQUIT")  # "immediate" shutdown, as in tests.kit.postgres
        self._password = secrets.token_hex(16)
        self._container.with_env("POSTGRES_PASSWORD", self._password).with_command(["-c", "fsync=off"])

    async def create(self) -> None:
        await self.start()

    async def database(self, service: str) -> str:
        """Create a database with the newest schema of a service; return its DSN."""
        name = f"{service}_{secrets.token_hex(6)}"
        connection = await asyncpg.connect(self._dsn("postgres"))
        try:
            await connection.execute(f'CREATE DATABASE "{name}"')
        finally:
            await connection.close()
        url = self._dsn(name).replace("postgresql://", "postgresql+asyncpg://")
        await asyncio.to_thread(migrate.upgrade, service, url)
        return url

    def _dsn(self, database: str) -> str:
        return f"postgresql://postgres:{self._password}@{self.host}:{self.port}/{database}"

    async def _is_responding(self) -> bool:
        try:
            connection = await asyncpg.connect(self._dsn("postgres"), timeout=2)
        except (OSError, asyncpg.PostgresError, TimeoutError):
            return False
        await connection.close()
        return True
