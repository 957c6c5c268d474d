"""Nodes that fall silent lose their jobs; nodes that are heard of do not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import pytest

from contracts.scheduler.attempts import Assignment, Outcome
from contracts.scheduler.heartbeats import LeaseState
from contracts.scheduler.jobs import JobState
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


@asynccontextmanager
async def beating(*nodes: Node) -> AsyncIterator[None]:
    """Nodes that are heard for the length of the block."""

    async def go_on() -> None:
        while True:
            for node in nodes:
                await node.beat()
            await asyncio.sleep(LEASE_S / 5)

    task = asyncio.create_task(go_on())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def forget_other_nodes(world: World) -> None:
    """What earlier tests left fell silent long ago."""
    await world.system.sql.execute("UPDATE nodes SET seen_at = seen_at - interval '1 hour'")


async def charged(world: World, job_id: UUID) -> list[tuple[bool, float, float]]:
    """Of every attempt: whether its node died, GPU-seconds charged, seconds from its lease to its last heartbeat."""
    sql = f"""SELECT node_died, gpu_seconds, extract(epoch FROM lease_until - leased_at)::float - {LEASE_S} AS heard
        FROM attempts WHERE job_id = $1 ORDER BY attempt"""  # noqa: S608 - constants only
    return [tuple(row) for row in await world.system.sql.fetch(sql, job_id)]


async def inherit(node: Node) -> Assignment:
    """An attempt that another node lost."""
    async with asyncio.timeout(LEASES * LEASE_S):
        while True:
            given = await node.ask(wait_s=2)
            if given is not None:
                return given


@pytest.mark.requirement("F-24")
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


async def test_a_job_with_which_two_machines_fell_silent_is_not_tried_again(world: World) -> None:
    await forget_other_nodes(world)
    model, tenant = "machine-killer.safetensors", world.tenant()
    first, second, third = [await world.node(model) for _ in range(3)]
    await world.until_offered(model)
    async with beating(third):
        async with beating(second):
            job_id = await world.job(tenant, model=model)
            given = await first.claim()
            assert await first.start(given.ref)
            assert (await first.beat(given.ref)).lease is LeaseState.KEPT
            again = await inherit(second)
        assert again.ref.attempt == 2

        async def failed() -> bool:
            return (await world.read(tenant, job_id)).state is JobState.FAILED

        await until(failed, within_s=LEASES * LEASE_S)
        assert await third.ask() is None
    job = await world.read(tenant, job_id)
    assert job.error is not None
    assert (job.error.code, job.attempt) == ("job.poison", 2)
    causes = ["submitted", "claimed", "started", "lease_lapsed", "claimed", "poisoned"]
    assert await world.causes(tenant, job_id) == causes
    (died, spent, heard), (died_again, _, _) = await charged(world, job_id)
    assert (died, died_again) == (True, True)
    assert heard > 0
    assert spent == pytest.approx(heard)


@pytest.mark.requirement("F-26")
async def test_an_executor_that_was_only_cut_off_does_not_count_as_a_death(world: World) -> None:
    await forget_other_nodes(world)
    model, tenant = "cut-off.safetensors", world.tenant()
    first, second, third = [await world.node(model) for _ in range(3)]
    await world.until_offered(model)
    async with beating(third):
        async with beating(second):
            job_id = await world.job(tenant, model=model)
            given = await first.claim()
            again = await inherit(second)
            assert again.ref.job_id == job_id
        async with beating(first):  # the process that held the first attempt is back
            assert (await first.beat(given.ref)).lease is LeaseState.LOST
            last = await inherit(third)
            assert (last.ref.job_id, last.ref.attempt) == (job_id, 3)
            assert await third.finish(last.ref)
    assert (await world.read(tenant, job_id)).state is JobState.SUCCEEDED
    assert [died for died, _, _ in await charged(world, job_id)] == [True, True, False]


async def test_an_executor_that_starts_anew_does_not_take_a_death_back(world: World) -> None:
    await forget_other_nodes(world)
    model, tenant = "reboot.safetensors", world.tenant()
    first, second = [await world.node(model) for _ in range(2)]
    await world.until_offered(model)
    async with beating(second):
        job_id = await world.job(tenant, model=model)
        await first.claim()
        again = await inherit(second)
        first.boot_id = uuid4()  # the machine was down
        await first.beat()
        assert await second.finish(again.ref, Outcome.NODE_FAULT, node_died=True)
    job = await world.read(tenant, job_id)
    assert job.error is not None
    assert (job.state, job.error.code) == (JobState.FAILED, "job.poison")


async def test_an_executor_that_only_let_go_of_an_attempt_does_not_count_as_a_death(world: World) -> None:
    await forget_other_nodes(world)
    model, tenant = "let-go.safetensors", world.tenant()
    first, second = [await world.node(model) for _ in range(2)]
    await world.until_offered(model)
    async with beating(first, second):
        job_id = await world.job(tenant, model=model)
        await first.claim()
        again = await inherit(second)
        assert await second.finish(again.ref)
    assert [died for died, _, _ in await charged(world, job_id)] == [False, False]


async def test_nodes_that_fall_silent_together_count_as_cut_off(world: World) -> None:
    await forget_other_nodes(world)
    model, tenant = "outage.safetensors", world.tenant()
    first, second, third = [await world.node(model) for _ in range(3)]
    await world.until_offered(model)
    job_id = await world.job(tenant, model=model)
    given = await first.claim()
    await asyncio.gather(first.beat(given.ref), second.beat())
    async with beating(third):
        again = await inherit(third)
        assert (again.ref.job_id, again.ref.attempt) == (job_id, 2)
        assert await third.finish(again.ref)
    assert [died for died, _, _ in await charged(world, job_id)] == [False, False]


async def test_a_job_that_runs_too_long_fails_though_its_executor_only_beats(world: World) -> None:
    model, tenant, node = "endless.safetensors", world.tenant(), await world.node("endless.safetensors")
    await world.until_offered(model)
    bounded = await world.job(tenant, model=model, run_within_seconds=5)
    given = await node.claim()
    assert await node.start(given.ref)
    assert (await node.beat(given.ref)).lease is LeaseState.KEPT
    await world.system.sql.execute(
        "UPDATE attempts SET leased_at = leased_at - interval '1 minute' WHERE job_id = $1", bounded
    )
    await world.system.sql.execute(
        """UPDATE job_events SET
            event = jsonb_set(event, '{at}', to_jsonb((event->>'at')::timestamptz - interval '66 s'))
        WHERE job_id = $1""",
        bounded,
    )

    async def failed() -> bool:
        await node.beat(given.ref)
        return (await world.read(tenant, bounded)).state is JobState.FAILED

    await until(failed, within_s=LEASES * LEASE_S)
    job = await world.read(tenant, bounded)
    assert job.error is not None
    assert (job.error.code, job.attempt) == ("job.run_time_exceeded", 1)
    assert (await node.beat(given.ref)).lease is LeaseState.LOST
    assert not await node.finish(given.ref)
    ((died, spent, heard),) = await charged(world, bounded)
    assert not died
    assert spent == pytest.approx(heard, abs=LEASE_S)
    assert heard > 60
