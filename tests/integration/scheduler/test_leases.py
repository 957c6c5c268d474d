"""Leases: nodes that send no heartbeats lose their jobs, others keep them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import UUID, uuid4

import pytest

from contracts.scheduler.attempts import Assignment, Outcome
from contracts.scheduler.heartbeats import LeaseState, OccupancyCause, ReportedOccupancy
from contracts.scheduler.jobs import JobState
from tests.integration.scheduler.conftest import (
    COMMON,
    RARE,
    Node,
    System,
    World,
    checked_world,
    final_states,
    run_system,
)
from tests.kit.nats import running_nats
from tests.kit.postgres import PostgresServer
from tests.kit.waiting import until

LEASE_S = 10  # long enough that a busy machine pauses for less than half of it
LEASES = 5  # a lapsed lease is noticed within this many lease durations, even on a busy machine


@pytest.fixture(scope="module")
async def quick(postgres_server: PostgresServer) -> AsyncIterator[System]:
    """A scheduler whose leases are so short that one lapses in real time during a test."""
    async with (
        running_nats() as server,
        run_system(server.url, await postgres_server.create_database("scheduler"), lease_s=LEASE_S) as system,
    ):
        yield system


@pytest.fixture
async def world(quick: System) -> AsyncIterator[World]:
    async with checked_world(quick) as world:
        yield world


@asynccontextmanager
async def beating(*nodes: Node) -> AsyncIterator[None]:
    """Send heartbeats of these nodes during the block; all are answered when the block ends."""
    over = asyncio.Event()

    async def go_on() -> None:
        while not over.is_set():
            for node in nodes:
                await node.send_heartbeat()
            with suppress(TimeoutError):
                async with asyncio.timeout(LEASE_S / 10):
                    await over.wait()

    task = asyncio.create_task(go_on())
    try:
        yield
    finally:
        over.set()
        await task


async def forget_other_nodes(world: World) -> None:
    """Make nodes of earlier tests look silent for an hour."""
    await world.system.sql.execute("UPDATE nodes SET seen_at = seen_at - interval '1 hour'")


async def lapse_leases(world: World, node: Node) -> None:
    """Act as if the node had claimed its attempts one lease duration earlier and had not renewed their leases since."""
    sql = """UPDATE attempts SET leased_at = leased_at - make_interval(secs => $2),
        lease_until = lease_until - make_interval(secs => $2) WHERE node = $1 AND ended_at IS NULL"""
    await world.system.sql.execute(sql, node.name, LEASE_S)


async def fall_silent(world: World, *nodes: Node) -> None:
    """Act as if these nodes had sent nothing for a lease duration."""
    sql = "UPDATE nodes SET seen_at = seen_at - make_interval(secs => $2) WHERE name = ANY($1)"
    await world.system.sql.execute(sql, [node.name for node in nodes], LEASE_S)
    for node in nodes:
        await lapse_leases(world, node)


async def charged(world: World, job_id: UUID) -> list[tuple[bool, float, float]]:
    """Return of each attempt: whether its node died, GPU-seconds charged, seconds from claim to last heartbeat."""
    sql = f"""SELECT node_died, gpu_seconds, extract(epoch FROM lease_until - leased_at)::float - {LEASE_S} AS heard
        FROM attempts WHERE job_id = $1 ORDER BY attempt"""  # noqa: S608 - constants only
    return [tuple(row) for row in await world.system.sql.fetch(sql, job_id)]


async def inherit(node: Node) -> Assignment:
    """Request work until another node's lease lapses and this node gets the job."""
    async with asyncio.timeout(LEASES * LEASE_S):
        while True:
            given = await node.request_work(wait_s=2)
            if given is not None:
                return given


async def inherit_and_lose(world: World, node: Node) -> Assignment:
    """Get a job whose lease on another node lapses, and let the new lease lapse as well."""
    given = await inherit(node)
    await lapse_leases(world, node)
    return given


async def lose_a_prefetched_attempt(world: World, tenant: UUID, node: Node, other: Node, model: str) -> None:
    """Of two lapsed attempts of one node, only the one that has started counts as a try and a death of the node."""
    jobs = [await world.submit_job(tenant, model=model) for _ in range(2)]
    first = await node.claim_attempt()
    assert await node.start(first.ref)
    second = await node.prefetch_attempt(first.ref)
    await lapse_leases(world, node)
    for _ in jobs:
        assert await other.finish((await inherit(other)).ref)
    assert not await node.finish(second.ref)
    causes = ["submitted", "claimed", "requeued", "claimed", "succeeded"]
    assert await world.list_causes(tenant, jobs[1]) == causes
    assert (await charged(world, jobs[1]))[0][:2] == (False, 0)


@pytest.mark.requirement("F-24")
async def test_silent_node_loses_its_lease_and_a_heartbeating_node_keeps_it(world: World) -> None:
    """Five scenarios run concurrently, because each waits for a lease to lapse. Each has its own model and nodes."""
    models = {
        "lost": "lost.safetensors",
        "inherited": COMMON,
        "kept": RARE,
        "cancelled": "cancelled.safetensors",
        "prefetched": "prefetched.safetensors",
    }
    tenants = {name: world.add_tenant(max_running=1 if name != "prefetched" else None) for name in models}
    nodes = {name: [await world.add_node(model) for _ in range(3)] for name, model in models.items()}
    over = asyncio.Event()

    async def lost_three_times() -> None:
        tenant = tenants["lost"]
        job_id = await world.submit_job(tenant, model=models["lost"], images=4)
        assert await world.count_charged_images(tenant) == 4
        given = [await inherit_and_lose(world, node) for node in nodes["lost"]]
        assert [found.ref.attempt for found in given] == [1, 2, 3]
        assert len({found.ref.lease_token for found in given}) == len({found.prompt_id for found in given}) == 3

        async def failed() -> bool:
            return (await world.read_job(tenant, job_id)).state is JobState.FAILED

        await until(failed, within_s=LEASES * LEASE_S)
        job = await world.read_job(tenant, job_id)
        assert job.error is not None
        assert (job.error.code, job.attempt, job.images) == ("node.lost", 3, 0)
        assert (await world.count_charged_images(tenant), await world.read_counters(tenant)) == (0, (0, 0))
        causes = ["submitted", *("claimed", "lease_lapsed") * 2, "claimed", "attempts_exhausted"]
        assert await world.list_causes(tenant, job_id) == causes
        before = await world.database_rows(tenant)
        for node, found in zip(nodes["lost"], given, strict=True):
            assert not await node.start(found.ref)
            assert not await node.finish(found.ref)
            assert (await node.send_heartbeat(found.ref)).lease is LeaseState.LOST
        assert await world.database_rows(tenant) == before
        assert final_states(await world.list_events(tenant, job_id)) == [JobState.FAILED]

    async def inherited() -> None:
        tenant, (first, second, _) = tenants["inherited"], nodes["inherited"]
        job_id = await world.submit_job(tenant)
        given = await first.claim_attempt()
        assert await first.start(given.ref)
        assert (await first.send_heartbeat(given.ref, progress=70)).lease is LeaseState.KEPT
        other = await inherit(second)  # once the lease has lapsed in real time
        assert (other.ref.job_id, other.ref.attempt) == (job_id, 2)
        assert await second.start(other.ref)
        before = await world.database_rows(tenant)
        assert not await first.finish(given.ref)
        assert (await first.send_heartbeat(given.ref)).lease is LeaseState.LOST
        assert await first.request_work() is None  # the node is free for other work
        assert await world.database_rows(tenant) == before
        assert await second.finish(other.ref)
        causes = ["submitted", "claimed", "started", "lease_lapsed", "claimed", "started", "succeeded"]
        assert await world.list_causes(tenant, job_id) == causes

    async def cancelled() -> None:
        tenant, (node, other, _) = tenants["cancelled"], nodes["cancelled"]
        job_id = await world.submit_job(tenant, model=models["cancelled"], images=2)
        waiting = await world.submit_job(tenant, model=models["cancelled"])
        given = await node.claim_attempt()
        assert (await world.cancel(tenant, job_id)).state is JobState.CANCELLED
        assert await other.request_work() is None
        await lapse_leases(world, node)
        free = await inherit(other)  # the slot of the silent node is free again
        assert free.ref.job_id == waiting
        assert not await node.finish(given.ref)
        assert await other.finish(free.ref)
        assert await world.count_charged_images(tenant) == 1
        assert await world.list_causes(tenant, job_id) == ["submitted", "claimed", "cancelled"]

    async def kept(job_id: UUID, node: Node) -> None:
        given = await node.claim_attempt()
        while not over.is_set():
            assert (await node.send_heartbeat(given.ref)).lease is LeaseState.KEPT
            await asyncio.sleep(LEASE_S / 10)
        assert await node.finish(given.ref)
        assert await world.list_causes(tenants["kept"], job_id) == ["submitted", "claimed", "succeeded"]

    await asyncio.gather(*(world.until_offered(model) for model in models.values()))
    keeping = asyncio.create_task(kept(await world.submit_job(tenants["kept"], model=models["kept"]), nodes["kept"][0]))
    first, second, _ = nodes["prefetched"]
    lost_prefetched = lose_a_prefetched_attempt(world, tenants["prefetched"], first, second, models["prefetched"])
    try:
        await asyncio.gather(lost_three_times(), inherited(), cancelled(), lost_prefetched)
    finally:
        over.set()
        await keeping


async def test_job_is_not_tried_again_after_two_nodes_died_with_it(world: World) -> None:
    await forget_other_nodes(world)
    model, tenant = "machine-killer.safetensors", world.add_tenant()
    first, second, third = [await world.add_node(model) for _ in range(3)]
    await world.until_offered(model)
    async with beating(third):
        async with beating(second):
            job_id = await world.submit_job(tenant, model=model)
            given = await first.claim_attempt()
            assert await first.start(given.ref)
            assert (await first.send_heartbeat(given.ref)).lease is LeaseState.KEPT
            await fall_silent(world, first)
            again = await inherit(second)
        assert again.ref.attempt == 2
        await fall_silent(world, first, second)  # the first node has been silent for longer

        async def failed() -> bool:
            return (await world.read_job(tenant, job_id)).state is JobState.FAILED

        await until(failed, within_s=LEASES * LEASE_S)
        assert await third.request_work() is None
    job = await world.read_job(tenant, job_id)
    assert job.error is not None
    assert (job.error.code, job.attempt) == ("job.poison", 2)
    causes = ["submitted", "claimed", "started", "lease_lapsed", "claimed", "poisoned"]
    assert await world.list_causes(tenant, job_id) == causes
    (died, spent, heard), (died_again, _, _) = await charged(world, job_id)
    assert (died, died_again) == (True, True)
    assert heard > 0
    assert spent == pytest.approx(heard)


@pytest.mark.requirement("F-26")
async def test_executor_that_reconnects_does_not_count_as_a_node_death(world: World) -> None:
    await forget_other_nodes(world)
    model, tenant = "cut-off.safetensors", world.add_tenant()
    first, second, third = [await world.add_node(model) for _ in range(3)]
    await world.until_offered(model)
    async with beating(third):
        async with beating(second):
            job_id = await world.submit_job(tenant, model=model)
            given = await first.claim_attempt()
            await fall_silent(world, first)
            again = await inherit(second)
            assert again.ref.job_id == job_id
        async with beating(first):  # the executor of the first attempt is back
            assert (await first.send_heartbeat(given.ref)).lease is LeaseState.LOST
            await fall_silent(world, second)
            last = await inherit(third)
            assert (last.ref.job_id, last.ref.attempt) == (job_id, 3)
            assert await third.finish(last.ref)
    assert (await world.read_job(tenant, job_id)).state is JobState.SUCCEEDED
    assert [died for died, _, _ in await charged(world, job_id)] == [True, True, False]


async def test_restarted_executor_still_counts_as_a_node_death(world: World) -> None:
    await forget_other_nodes(world)
    model, tenant = "reboot.safetensors", world.add_tenant()
    first, second = [await world.add_node(model) for _ in range(2)]
    await world.until_offered(model)
    async with beating(second):
        job_id = await world.submit_job(tenant, model=model)
        await first.claim_attempt()
        await fall_silent(world, first)
        again = await inherit(second)
        first.boot_id = uuid4()  # the executor restarted
        await first.send_heartbeat()
        assert await second.finish(again.ref, Outcome.NODE_FAULT, node_died=True)
    job = await world.read_job(tenant, job_id)
    assert job.error is not None
    assert (job.state, job.error.code) == (JobState.FAILED, "job.poison")


async def test_lapsed_lease_of_a_heartbeating_executor_does_not_count_as_a_node_death(world: World) -> None:
    await forget_other_nodes(world)
    model, tenant = "let-go.safetensors", world.add_tenant()
    first, second = [await world.add_node(model) for _ in range(2)]
    await world.until_offered(model)
    async with beating(first, second):
        job_id = await world.submit_job(tenant, model=model)
        await first.claim_attempt()
        await lapse_leases(world, first)
        again = await inherit(second)
        assert await second.finish(again.ref)
    assert [died for died, _, _ in await charged(world, job_id)] == [False, False]


async def test_nodes_that_fall_silent_together_do_not_count_as_node_deaths(world: World) -> None:
    await forget_other_nodes(world)
    model, tenant = "outage.safetensors", world.add_tenant()
    first, second, third = [await world.add_node(model) for _ in range(3)]
    await world.until_offered(model)
    job_id = await world.submit_job(tenant, model=model)
    given = await first.claim_attempt()
    await asyncio.gather(first.send_heartbeat(given.ref), second.send_heartbeat())
    await fall_silent(world, first, second)
    async with beating(third):
        again = await inherit(third)
        assert (again.ref.job_id, again.ref.attempt) == (job_id, 2)
        assert await third.finish(again.ref)
    assert [died for died, _, _ in await charged(world, job_id)] == [False, False]


@pytest.mark.requirement("F-141")
async def test_time_limit_does_not_apply_while_outputs_are_stored_or_wait_for_storage(world: World) -> None:
    model, tenant = "waiting.safetensors", world.add_tenant()
    waiting, storing, slow = [await world.add_node(model) for _ in range(3)]
    await world.until_offered(model)
    jobs = [await world.submit_job(tenant, model=model, run_within_seconds=5) for _ in range(3)]
    first, second, running = [await node.claim_attempt() for node in (waiting, storing, slow)]
    assert [given.ref.job_id for given in (first, second, running)] == jobs
    for node, given in ((waiting, first), (storing, second), (slow, running)):
        assert await node.start(given.ref)

    async def send_heartbeats() -> None:
        waits = ReportedOccupancy(by=OccupancyCause.STORAGE, seconds=1, blocked=False)
        await waiting.send_heartbeat(first.ref, occupied=waits)
        await storing.send_heartbeat(None, other_attempt=second.ref, left_node=(second.ref.job_id,))
        await slow.send_heartbeat(running.ref)

    await send_heartbeats()
    await world.system.sql.execute(
        "UPDATE attempts SET leased_at = leased_at - interval '81 s' WHERE job_id = ANY($1)", jobs
    )
    await world.system.sql.execute(
        """UPDATE job_events SET
            event = jsonb_set(event, '{at}', to_jsonb((event->>'at')::timestamptz - interval '81 s'))
        WHERE job_id = ANY($1)""",
        jobs,
    )

    async def failed() -> bool:
        await send_heartbeats()
        return (await world.read_job(tenant, running.ref.job_id)).state is JobState.FAILED

    await until(failed, within_s=LEASES * LEASE_S)
    for node, given in ((waiting, first), (storing, second)):
        assert await node.finish(given.ref)
        assert (await world.read_job(tenant, given.ref.job_id)).state is JobState.SUCCEEDED


async def test_job_beyond_its_time_limit_fails_although_its_executor_sends_heartbeats(world: World) -> None:
    model, tenant, node = "endless.safetensors", world.add_tenant(), await world.add_node("endless.safetensors")
    await world.until_offered(model)
    bounded = await world.submit_job(tenant, model=model, run_within_seconds=5)
    given = await node.claim_attempt()
    assert await node.start(given.ref)
    assert (await node.send_heartbeat(given.ref)).lease is LeaseState.KEPT
    await world.system.sql.execute(
        "UPDATE attempts SET leased_at = leased_at - interval '81 s' WHERE job_id = $1", bounded
    )
    await world.system.sql.execute(
        """UPDATE job_events SET
            event = jsonb_set(event, '{at}', to_jsonb((event->>'at')::timestamptz - interval '81 s'))
        WHERE job_id = $1""",
        bounded,
    )

    async def failed() -> bool:
        await node.send_heartbeat(given.ref)
        return (await world.read_job(tenant, bounded)).state is JobState.FAILED

    await until(failed, within_s=LEASES * LEASE_S)
    job = await world.read_job(tenant, bounded)
    assert job.error is not None
    assert (job.error.code, job.attempt) == ("job.run_time_exceeded", 1)
    assert (await node.send_heartbeat(given.ref)).lease is LeaseState.LOST
    assert not await node.finish(given.ref)
    ((died, spent, heard),) = await charged(world, bounded)
    assert not died
    assert spent == pytest.approx(heard, abs=LEASE_S)
    assert heard > 60


async def test_job_of_a_node_that_dies_as_it_is_woken_goes_to_the_next_waiting_node(world: World) -> None:
    tenant, dying, other = world.add_tenant(), await world.add_node(), await world.add_node()
    woken = await dying.start_waiting()
    async with beating(other):
        job_id = await world.submit_job(tenant)
        assert await woken is not None  # the node dies before it gets the reply
        await fall_silent(world, dying)

        async def is_taken() -> bool:
            given = await other.request_work(wait_s=5)
            assert given is None or (given.ref.job_id, given.ref.attempt) == (job_id, 2)
            return given is not None and await other.finish(given.ref)

        await until(is_taken, within_s=LEASE_S * LEASES)


@pytest.mark.requirement("F-113")
async def test_job_whose_prefetch_reply_was_lost_moves_to_another_node_after_one_lease(world: World) -> None:
    shared, own = "lost-reply.safetensors", "lost-reply-own.safetensors"
    tenant, node, other = world.add_tenant(), await world.add_node(shared, own), await world.add_node(shared)
    await world.until_offered(own)
    await world.submit_job(tenant, model=shared)
    first = await node.claim_attempt()
    assert await node.start(first.ref)
    lost = await world.submit_job(tenant, model=shared)
    second = await node.prefetch_attempt(first.ref)
    assert second.ref.job_id == lost
    await world.submit_job(tenant, model=own)  # so that the repeated requests are not without a job
    moved, third = asyncio.create_task(inherit(other)), None
    while not moved.done():
        await node.send_heartbeat(first.ref)
        if third is None:
            repeated = await node.request_work(held=first.ref)
            third = repeated if repeated is not None and repeated.ref != second.ref else None
        await asyncio.wait({moved}, timeout=LEASE_S / 20)
    assert moved.result().ref.job_id == lost
    assert await other.finish(moved.result().ref)
    assert await world.list_causes(tenant, lost) == ["submitted", "claimed", "requeued", "claimed", "succeeded"]
    assert await node.finish(first.ref)
    assert await node.finish((third or await node.claim_attempt()).ref)
