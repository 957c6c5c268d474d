"""What all tests share: one NATS server and one PostgreSQL server, started when the first test asks for them."""

from collections.abc import AsyncIterator

import pytest

from tests.kit.nats import NatsServer
from tests.kit.postgres import PostgresServer


@pytest.fixture(scope="session")
async def nats_server() -> AsyncIterator[NatsServer]:
    server = NatsServer()
    try:
        await server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
async def own_nats() -> AsyncIterator[NatsServer]:
    """A server that a test may kill."""
    server = NatsServer()
    try:
        await server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
async def postgres_server() -> AsyncIterator[PostgresServer]:
    server = PostgresServer()
    try:
        await server.create()
        yield server
    finally:
        server.remove()
