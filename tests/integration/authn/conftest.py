"""A NATS server for each module: what a failing test leaves behind troubles nobody else."""

from collections.abc import AsyncIterator

import pytest

from tests.kit.nats import NatsServer


@pytest.fixture(scope="module")
async def nats() -> AsyncIterator[NatsServer]:
    server = NatsServer()
    try:
        await server.start()
        yield server
    finally:
        server.remove()
