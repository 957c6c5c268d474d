"""Systems for fault injection, and workflows that misbehave."""

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from tests.e2e.test_deletion import database_of
from tests.kit.fleet import Fleet, running_fleet


def graph(class_type: str, color: int, **inputs: Any) -> dict[str, Any]:
    """Return a workflow that passes an image of this colour to a node of this class."""
    return {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 16, "height": 16, "batch_size": 1, "color": color}},
        "2": {"class_type": class_type, "inputs": {"image": ["1", 0], **inputs}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "picture"}},
    }


async def attempts_of(fleet: Fleet, job_id: str) -> list[dict[str, Any]]:
    """Return every attempt of a job from the scheduler."""
    sql = await asyncpg.connect(database_of(fleet, "scheduler"))
    try:
        rows = await sql.fetch(
            """SELECT node, prompt_id::text, node_died, gpu_seconds, error->>'code' AS code FROM attempts
            WHERE job_id = $1::uuid ORDER BY attempt""",
            job_id,
        )
    finally:
        await sql.close()
    return [dict(row) for row in rows]


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
