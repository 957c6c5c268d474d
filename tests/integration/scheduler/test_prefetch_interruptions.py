"""The scheduler loses its connection to PostgreSQL before or after the commit of each write about a prefetched job."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import UUID

import pytest

from contracts.scheduler.attempts import AttemptRef, Outcome, RequestWork
from contracts.scheduler.jobs import JobState
from contracts.wire.errors import Refusal
from tests.integration.scheduler.conftest import Node, System, World, checked_world, run_system
from tests.kit.calling_bus import until_available
from tests.kit.commit_faults import CommitFaults, running_faults
from tests.kit.nats import running_nats
from tests.kit.postgres import PostgresServer
from tests.kit.waiting import until

LEASE_S = 10  # longer than pauses of a busy machine
CLAIM, START, END = "INSERT INTO attempts", "SET prefetched = false", "SET ended_at = now(), outcome"
WRITES = {
    "claim": CLAIM,
    "start": START,
    "end of the job before": END,
    "claim with that end": CLAIM,
    "hand-back": END,
    "lapse": END,
}


@pytest.fixture(scope="module")
async def faults(postgres_server: PostgresServer) -> AsyncIterator[CommitFaults]:
    async with running_faults(await postgres_server.create_database("scheduler")) as faults:
        yield faults


@pytest.fixture(scope="module")
async def system(faults: CommitFaults) -> AsyncIterator[System]:
    """A scheduler that connects to PostgreSQL through ``faults``."""
    async with running_nats() as server, run_system(server.url, faults.url, lease_s=LEASE_S) as system:
        yield system


@pytest.fixture
async def world(system: System) -> AsyncIterator[World]:
    async with checked_world(system) as world:
        yield world


class Leases:
    """The attempts whose leases the node's heartbeats renew."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.refs: list[AttemptRef] = []

    @asynccontextmanager
    async def renewed(self) -> AsyncIterator[None]:
        """Send heartbeats during the block."""

        async def send() -> None:
            while True:
                first, second = (*self.refs, None, None)[:2]
                await self._node.send_heartbeat(first, other_attempt=second)
                await asyncio.sleep(LEASE_S / 10)

        task = asyncio.create_task(send())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})


async def list_outcomes(world: World, job_id: UUID) -> list[str]:
    rows = await world.system.sql.fetch("SELECT outcome FROM attempts WHERE job_id = $1 ORDER BY attempt", job_id)
    return [row["outcome"] for row in rows]


@pytest.mark.requirement("F-113")
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("write", [*WRITES])
async def test_prefetched_job_is_neither_lost_nor_repeated_nor_charged_when_a_commit_is_lost(
    world: World, faults: CommitFaults, write: str, when: str
) -> None:
    tenant, node = world.add_tenant(), await world.add_node()
    jobs = [await world.submit_job(tenant) for _ in range(3)]

    def reach(step: str) -> None:
        if step == write:
            faults.cut_commit(WRITES[step], when=when)

    async def is_queued() -> bool:
        return (await world.read_job(tenant, jobs[1])).state is JobState.QUEUED

    first = (await node.claim_attempt()).ref
    assert await node.start(first)
    leases = Leases(node)
    leases.refs = [first]
    async with leases.renewed():
        reach("claim")
        second = (await node.prefetch_attempt(first)).ref
        if write in {"hand-back", "lapse"}:
            reach(write)
            if write == "hand-back":
                leases.refs = [first, second]
                await until_available(lambda: node.finish(second, Outcome.RELEASED, error=None))
            else:
                lapse = "UPDATE attempts SET lease_until = now() WHERE job_id = $1 AND ended_at IS NULL"
                await world.system.sql.execute(lapse, second.job_id)
            await until(is_queued, within_s=60)
            second = (await node.prefetch_attempt(first)).ref
        leases.refs = [first, second]
        reach("start")
        with suppress(Refusal):  # executors report a start once
            await node.start(second)
        reach("end of the job before")
        reach("claim with that end")
        request = RequestWork(boot_id=node.boot_id, wait_s=0, held=second)
        reply = await until_available(lambda: node.finish_and_request(first, request))
        assert faults.has_cut
        assert await node.finish(second)
        third = (reply.assignment or await node.claim_attempt()).ref
        assert await node.finish(third)
    assert [second.job_id, third.job_id] == jobs[1:]
    handed_back = ["released"] if write in {"hand-back", "lapse"} else []
    assert [await list_outcomes(world, job) for job in jobs] == [
        ["succeeded"],
        [*handed_back, "succeeded"],
        ["succeeded"],
    ]
    assert await world.count_charged_images(tenant) == len(jobs)
    assert await world.read_counters(tenant) == (0, 0)


async def test_rolled_back_claim_does_not_count_its_models_as_loaded(world: World, faults: CommitFaults) -> None:
    """If a node does not report its models, the scheduler assumes that it has loaded those of its jobs."""
    tenant, node = world.add_tenant(), await world.add_node()
    jobs = [await world.submit_job(tenant) for _ in range(2)]
    faults.cut_commit(CLAIM, when="before")
    for job_id in jobs:
        given = await until_available(node.claim_attempt)
        assert given.ref.job_id == job_id
        assert await node.finish(given.ref)
    assert faults.has_cut
    sql = "SELECT loads_models FROM attempts WHERE job_id = ANY($1) ORDER BY job_id"
    assert [row["loads_models"] for row in await world.system.sql.fetch(sql, jobs)] == [True, False]
