"""Auth with a real NATS and a real PostgreSQL; the tests send requests as the public services."""

import os
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
import jwt
import pytest
from pydantic import SecretStr

from auth.app import create_app
from auth.settings import Settings
from chassis.database.postgres import CONNECT_TIMEOUT_S
from chassis.ids import new_id
from chassis.messaging.bus import Bus
from contracts.auth.accounts import REGISTER, Register
from contracts.auth.sessions import OPEN_SESSION, OpenSession, SessionTokens
from contracts.permissions import inbox_prefix
from contracts.wire.errors import RefusalDetails, RelayedRefusal
from tests.kit.calling_bus import CallingBus
from tests.kit.commands import Commands
from tests.kit.http import http_client
from tests.kit.nats import running_nats
from tests.kit.postgres import PostgresServer
from tests.kit.serving import serving
from tests.kit.waiting import until

SECRET = "0123456789abcdef0123456789abcdef"
PASSWORD = "three words of mine"


@dataclass(frozen=True)
class System:
    """A running auth.

    Attributes:
        bus: the gateway's connection.
        sql: a connection to auth's database.
    """

    bus: Bus
    sql: asyncpg.Pool
    database_url: str
    nats_url: str


def bus_as(url: str, name: str) -> Bus:
    return CallingBus(url, name=name, user=None, password=None, inbox_prefix=inbox_prefix(name))


def settings_for(nats_url: str, database_url: str, **settings: object) -> Settings:
    """Return settings of an auth on these servers, independent of the environment."""
    return Settings.model_validate(
        {"nats_url": nats_url, "database_url": database_url, "secret_key": SECRET} | settings
    )


@asynccontextmanager
async def replica_at(
    nats_url: str, database_url: str, *, connect_timeout_s: float = CONNECT_TIMEOUT_S, **settings: object
) -> AsyncIterator[str]:
    """Run another auth in this process; yield host and port of its health checks once it is ready."""
    app = create_app(settings_for(nats_url, database_url, **settings), connect_timeout_s=connect_timeout_s)
    async with serving(app) as at:
        async with http_client() as http:

            async def ready() -> bool:
                return (await http.get(f"http://{at}/readyz")).status_code == 200

            await until(ready)
        yield at


@asynccontextmanager
async def system_at(
    nats_url: str, database_url: str, *, connect_timeout_s: float = CONNECT_TIMEOUT_S, **settings: object
) -> AsyncIterator[System]:
    """Run an auth; yield it with the connections of the tests."""
    bus = bus_as(nats_url, "gateway")
    sql = await asyncpg.create_pool(database_url.replace("+asyncpg", ""), min_size=1, max_size=4)
    try:
        await bus.start()
        async with replica_at(nats_url, database_url, connect_timeout_s=connect_timeout_s, **settings):
            yield System(bus, sql, database_url, nats_url)
    finally:
        await sql.close()
        await bus.stop()


@pytest.fixture(scope="package")
async def system(postgres_server: PostgresServer) -> AsyncIterator[System]:
    """One auth with default settings for this folder, in which no request waits for a free hashing thread."""
    async with running_nats() as server:
        url = await postgres_server.create_database("auth")
        async with system_at(server.url, url, hashing_threads=8) as system:
            yield system


@pytest.fixture
def bus(system: System) -> Bus:
    """The gateway's connection."""
    return system.bus


@pytest.fixture
def sql(system: System) -> asyncpg.Pool:
    """A connection to auth's database."""
    return system.sql


@dataclass(frozen=True)
class Person:
    """A registered user with its session."""

    id: UUID
    username: str
    email: str
    password: str = PASSWORD

    @property
    def tenant(self) -> str:
        return str(self.id)


async def register(bus: Bus, username: str | None = None, password: str = PASSWORD) -> Person:
    """Register a new account."""
    name = username or new_name()
    email = f"{name}@example.org"
    user = await bus.request(REGISTER, Register(username=name, email=email, password=SecretStr(password)))
    return Person(user.id, name, email, password)


async def login(bus: Bus, person: Person, password: str | None = None) -> SessionTokens:
    """Open a new session of a user."""
    secret = SecretStr(person.password if password is None else password)
    return await bus.request(OPEN_SESSION, OpenSession(username=person.username, password=secret, ip="192.0.2.7"))


async def refused(asking: Awaitable[object]) -> RefusalDetails:
    """Assert that a request is refused, and return the refusal."""
    with pytest.raises(RelayedRefusal) as caught:
        await asking
    return caught.value.details


def session_id(session: SessionTokens) -> UUID:
    """Return the session id in the access token."""
    return UUID(claims(session)["sid"])


def claims(session: SessionTokens) -> dict[str, Any]:
    """Return the claims of the access token, without verification."""
    token = session.access_token.get_secret_value()
    read: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return read


def new_name() -> str:
    return f"u{new_id().hex[-12:]}"


@pytest.fixture
async def person(bus: Bus) -> Person:
    """A user who has just registered."""
    return await register(bus)


class AuthCommand(NamedTuple):
    """A command of ``python -m auth`` that has ended."""

    returncode: int
    stdout: str
    stderr: str


class AuthCommands:
    """Runs commands of ``python -m auth``."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._commands = folder, Commands(folder, "auth")

    async def run(self, database_url: str, *argv: str, typed: str = "", **environment: str) -> AuthCommand:
        """Run a command on a database.

        Args:
            typed: its standard input.
        """
        settings = {"PATH": os.environ["PATH"], "AUTH_DATABASE_URL": database_url, "AUTH_SECRET_KEY": SECRET}
        code, out, err = await self._commands.run(list(argv), typed.encode(), self._folder, settings | environment)
        return AuthCommand(code, out.decode(), err.decode())

    async def close(self) -> None:
        await self._commands.close()


@pytest.fixture(scope="session")
async def auth_commands(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AuthCommands]:
    commands = AuthCommands(tmp_path_factory.mktemp("auth-commands"))
    yield commands
    await commands.close()
