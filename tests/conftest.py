"""Fixtures of all tests: one NATS and one PostgreSQL server, started by the first test that uses them."""

import gc
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
import structlog
from structlog.typing import Processor

from tests.kit.nats import NatsServer
from tests.kit.postgres import PostgresServer
from tests.kit.workers import ByFolder

if TYPE_CHECKING:
    from tests.kit.containers import NatsContainer, PostgresContainer


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--containers", action="store_true", help="NATS and PostgreSQL from Docker, not from the wheels")


# Like a service: rich tracebacks with all variables would block the event loop for seconds.
PLAIN_LOG: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
]

# the duration of an example depends on the machine's load
hypothesis.settings.register_profile("bounded by pytest alone", deadline=None)
hypothesis.settings.load_profile("bounded by pytest alone")


def pytest_configure(config: pytest.Config) -> None:
    gc.disable()  # until all modules are imported
    structlog.configure(processors=PLAIN_LOG)
    if config.getoption("--containers"):
        from tests.kit.containers import require_engine  # noqa: PLC0415 - Docker's client takes a second to import

        require_engine()


def pytest_collection_finish() -> None:
    """Exclude modules and tests from garbage collections, which would stop services in this process for a second."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFolder:
    return ByFolder(config, log)


def nats_for(config: pytest.Config) -> "NatsServer | NatsContainer":
    if not config.getoption("--containers"):
        return NatsServer()
    from tests.kit.containers import NatsContainer  # noqa: PLC0415

    return NatsContainer()


def postgres_for(config: pytest.Config) -> "PostgresServer | PostgresContainer":
    if not config.getoption("--containers"):
        return PostgresServer()
    from tests.kit.containers import PostgresContainer  # noqa: PLC0415

    return PostgresContainer()


@pytest.fixture(scope="session")
async def nats_server(pytestconfig: pytest.Config) -> "AsyncIterator[NatsServer | NatsContainer]":
    server = nats_for(pytestconfig)
    try:
        await server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
async def own_nats(pytestconfig: pytest.Config) -> "AsyncIterator[NatsServer | NatsContainer]":
    """A server that a test may kill."""
    server = nats_for(pytestconfig)
    try:
        await server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
async def postgres_server(pytestconfig: pytest.Config) -> "AsyncIterator[PostgresServer | PostgresContainer]":
    server = postgres_for(pytestconfig)
    try:
        await server.create()
        yield server
    finally:
        server.remove()
