"""Systems for fault injection."""

from collections.abc import AsyncIterator

import pytest

from tests.kit.fleet import Fleet, running_fleet


@pytest.fixture(scope="package")
async def fleet_of_one_node() -> AsyncIterator[Fleet]:
    async with running_fleet("--nodes", "1", "--step-ms", "40") as running:
        yield running


@pytest.fixture
async def fragile(fleet_of_one_node: Fleet) -> Fleet:
    """One node, so that every fault affects the running job."""
    await fleet_of_one_node.wait_until_ready()
    return fleet_of_one_node


@pytest.fixture(scope="package")
async def fleet_of_three_nodes() -> AsyncIterator[Fleet]:
    async with running_fleet(
        "--nodes", "3", "--step-ms", "10",
        EXECUTOR_REPLY_S="3", EXECUTOR_UNREACHABLE_S="8", EXECUTOR_STALLED_S="8", EXECUTOR_STOP_WITHIN_S="1",
    ) as fleet:  # fmt: skip
        yield fleet


@pytest.fixture
async def three_nodes(fleet_of_three_nodes: Fleet) -> Fleet:
    """Three nodes, whose executors notice their death within seconds."""
    await fleet_of_three_nodes.wait_until_ready()
    return fleet_of_three_nodes
