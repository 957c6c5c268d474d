"""Systems for fault injection."""

from collections.abc import AsyncIterator

import pytest

from tests.kit.fleet import Fleet, running_fleet


@pytest.fixture(scope="package")
async def fragile() -> AsyncIterator[Fleet]:
    """One node, so that every fault affects the running job."""
    async with running_fleet("--nodes", "1", "--step-ms", "40") as running:
        yield running


@pytest.fixture(scope="package")
async def three_nodes() -> AsyncIterator[Fleet]:
    """Three nodes, whose executors notice their death within seconds."""
    async with running_fleet(
        "--nodes", "3", "--step-ms", "10",
        EXECUTOR_REPLY_S="1", EXECUTOR_UNREACHABLE_S="3", EXECUTOR_STALLED_S="5", EXECUTOR_STOP_WITHIN_S="1",
    ) as fleet:  # fmt: skip
        yield fleet
