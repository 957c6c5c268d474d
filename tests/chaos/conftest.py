"""A system for fault injection, with one node so that every fault affects the running job."""

from collections.abc import AsyncIterator

import pytest

from tests.kit.fleet import Fleet, running_fleet


@pytest.fixture(scope="session")
async def fragile() -> AsyncIterator[Fleet]:
    async with running_fleet("--nodes", "1", "--step-ms", "40") as running:
        yield running
