"""Commands that fail when repeated still report success if the reply to their commit is lost."""

from collections.abc import AsyncIterator

import pytest

from contracts.scheduler.jobs import JobState
from contracts.scheduler.nodes import NodeAction
from contracts.scheduler.purges import PURGE_JOB, PurgeJob
from tests.integration.scheduler.conftest import System, World, run_system
from tests.integration.scheduler.operator import Operator
from tests.kit.commit_faults import CommitFaults, running_faults
from tests.kit.nats import running_nats
from tests.kit.postgres import PostgresServer

pytestmark = pytest.mark.requirement("F-94")


@pytest.fixture(scope="module")
async def faults(postgres_server: PostgresServer) -> AsyncIterator[CommitFaults]:
    async with running_faults(await postgres_server.create_database("scheduler")) as faults:
        yield faults


@pytest.fixture(scope="module")
async def system(faults: CommitFaults) -> AsyncIterator[System]:
    """A scheduler that connects to PostgreSQL through ``faults``."""
    async with (
        running_nats() as server,
        run_system(server.url, faults.url, connect_timeout_s=20, lease_s=60) as system,
    ):
        yield system


@pytest.fixture
async def world(system: System) -> AsyncIterator[World]:
    world = World(system)
    yield world
    await world.end_all_jobs()


async def test_node_is_forgotten_if_the_commit_reply_is_lost(world: World, faults: CommitFaults) -> None:
    node, operator = await world.add_node(), Operator(world.system.bus)
    await world.system.sql.execute("UPDATE nodes SET seen_at = now() - interval '1 day' WHERE name = $1", node.name)
    faults.cut_commit("DELETE FROM nodes", when="after")
    assert await operator.node(node.name, NodeAction.FORGET) is None
    assert faults.has_cut
    assert node.name not in await operator.nodes()


async def test_job_is_purged_if_the_commit_reply_is_lost(world: World, faults: CommitFaults) -> None:
    tenant, node = world.add_tenant(), await world.add_node()
    job_id = await world.submit_job(tenant)
    assert await node.finish((await node.claim_attempt()).ref)
    assert (await world.read_job(tenant, job_id)).state is JobState.SUCCEEDED
    faults.cut_commit("DELETE FROM jobs", when="after")
    await world.system.bus.request(PURGE_JOB, PurgeJob(job_id=job_id), tenant=str(tenant))
    assert faults.has_cut
    assert await world.system.sql.fetchval("SELECT count(*) FROM jobs WHERE id = $1", job_id) == 0
