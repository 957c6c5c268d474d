"""A NATS server per module, so that state left by a failed test does not affect other modules."""

from collections.abc import AsyncIterator

import pytest

from tests.kit.nats import NatsServer, running_nats


@pytest.fixture(scope="module")
async def nats() -> AsyncIterator[NatsServer]:
    async with running_nats() as server:
        yield server
