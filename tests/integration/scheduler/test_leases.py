"""Nodes that fall silent lose their jobs; nodes that are heard of do not."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from contracts.scheduler import Assignment, JobState, LeaseState
from tests.integration.scheduler.conftest import COMMON, RARE, Node, System, World, final, system_at, world_in
from tests.kit.nats import NatsServer
from tests.kit.postgres import PostgresServer
from tests.kit.waiting import until

LEASE_S = 3  # the least that the settings allow
LEASES = 5  # a lapsed lease is noticed within so many lease times, whatever else this machine does


@pytest.fixture(scope="module")
async def quick(postgres_server: PostgresServer) -> AsyncIterator[System]:
    """A scheduler whose leases lapse while one waits."""
    server = NatsServer()
    try:
        await server.start()
        async with system_at(server.url, await postgres_server.database("scheduler"), lease_s=LEASE_S) as system:
            yield system
    finally:
        server.remove()


@pytest.fixture
async def world(quick: System) -> AsyncIterator[World]:
    async with world_in(quick) as world:
        yield world


async def inherit(node: Node) -> Assignment:
    """An attempt that another node lost."""
    async with asyncio.timeout(LEASES * LEASE_S):
        while True:
            given = await node.ask(wait_s=2)
            if given is not None:
                return given


async def test_a_silent_node_loses_its_job_and_one_that_is_heard_does_not(world: World) -> None:
    """Four stories at once, since each has to wait for leases to lapse: a model of its own keeps each to its nodes."""
    models = {"lost": "lost.safetensors", "inherited": COMMON, "kept": RARE, "cancelled": "cancelled.safetensors"}
    tenants = {name: world.tenant(max_running=1) for name in models}
    nodes = {name: [await world.node(model) for _ in range(3)] for name, model in models.items()}
    over = asyncio.Event()

    async def lost_three_times() -> None:
        tenant = tenants["lost"]
        job_id = await world.job(tenant, model=models["lost"], images=4)
        assert await world.images(tenant) == 4
        given = [await inherit(node) for node in nodes["lost"]]
        assert [found.ref.attempt for found in given] == [1, 2, 3]
        assert len({found.ref.lease_token for found in given}) == len({found.prompt_id for found in given}) == 3

        async def failed() -> bool:
            return (await world.read(tenant, job_id)).state is JobState.FAILED

        await until(failed)
        job = await world.read(tenant, job_id)
        assert job.error is not None
        assert (job.error.code, job.attempt, job.images) == ("node.lost", 3, 0)
        assert (await world.images(tenant), await world.counters(tenant)) == (0, (0, 0))
        causes = ["submitted", *("claimed", "lease_lapsed") * 2, "claimed", "attempts_exhausted"]
        assert await world.causes(tenant, job_id) == causes
        before = await world.everything(tenant)
        for node, found in zip(nodes["lost"], given, strict=True):
            assert not await node.start(found.ref)
            assert not await node.finish(found.ref)
            assert (await node.beat(found.ref)).lease is LeaseState.LOST
        assert await world.everything(tenant) == before
        assert final(await world.log(tenant, job_id)) == [JobState.FAILED]

    async def inherited() -> None:
        tenant, (first, second, _) = tenants["inherited"], nodes["inherited"]
        job_id = await world.job(tenant)
        given = await first.claim()
        assert await first.start(given.ref)
        assert (await first.beat(given.ref, progress=70)).lease is LeaseState.KEPT
        other = await inherit(second)
        assert (other.ref.job_id, other.ref.attempt) == (job_id, 2)
        assert await second.start(other.ref)
        before = await world.everything(tenant)
        assert not await first.finish(given.ref)
        assert (await first.beat(given.ref)).lease is LeaseState.LOST
        assert await first.ask() is None  # and it is free for other work
        assert await world.everything(tenant) == before
        assert await second.finish(other.ref)
        causes = ["submitted", "claimed", "started", "lease_lapsed", "claimed", "started", "succeeded"]
        assert await world.causes(tenant, job_id) == causes

    async def cancelled() -> None:
        tenant, (node, other, _) = tenants["cancelled"], nodes["cancelled"]
        job_id = await world.job(tenant, model=models["cancelled"], images=2)
        waiting = await world.job(tenant, model=models["cancelled"])
        given = await node.claim()
        assert (await world.cancel(tenant, job_id)).state is JobState.CANCELLED
        assert await other.ask() is None
        free = await inherit(other)  # the place that a silent node held is given back
        assert free.ref.job_id == waiting
        assert not await node.finish(given.ref)
        assert await other.finish(free.ref)
        assert await world.images(tenant) == 1
        assert await world.causes(tenant, job_id) == ["submitted", "claimed", "cancelled"]

    async def kept(job_id: UUID, node: Node) -> None:
        given = await node.claim()
        while not over.is_set():
            assert (await node.beat(given.ref)).lease is LeaseState.KEPT
            await asyncio.sleep(LEASE_S / 5)
        assert await node.finish(given.ref)
        assert await world.causes(tenants["kept"], job_id) == ["submitted", "claimed", "succeeded"]

    await asyncio.gather(*(world.until_offered(model) for model in models.values()))
    keeping = asyncio.create_task(kept(await world.job(tenants["kept"], model=models["kept"]), nodes["kept"][0]))
    try:
        await asyncio.gather(lost_three_times(), inherited(), cancelled())
    finally:
        over.set()
        await keeping
