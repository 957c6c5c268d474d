"""A NATS server per module, so that leftovers of a failed test do not affect other modules."""

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
