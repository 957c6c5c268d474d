"""A node prefers jobs whose models it has loaded, within limits of priority, waiting time and fair share."""

import asyncio
from uuid import UUID

import asyncpg
import pytest

from chassis.ids import new_id
from contracts.scheduler.attempts import Assignment, AttemptRef, Outcome
from scheduler.domain.settlement import MIN_COST_S
from scheduler.store import attempts
from tests.integration.scheduler.conftest import COMMON, RARE, Node, World
from tests.integration.scheduler.test_prefetch import RECLAIMED_WITHIN_S, release_hints
from tests.kit.waiting import until

HAS_COMMON = (f"CheckpointLoaderSimple.ckpt_name={COMMON}",)


async def finish_job(node: Node, given: Assignment | None) -> UUID:
    assert given is not None
    assert await node.finish(given.ref)
    return given.ref.job_id


async def run_next_job(node: Node) -> UUID:
    return await finish_job(node, await node.claim_attempt())


@pytest.mark.requirement("placement.warm")
async def test_warm_job_runs_first_but_priority_and_the_warm_bound_take_precedence(world: World) -> None:
    tenant, node = world.add_tenant(), await world.add_node(COMMON, RARE)
    await world.until_offered(RARE)
    node.loaded = HAS_COMMON
    cold = await world.submit_job(tenant, model=RARE)
    warm, later_warm = [await world.submit_job(tenant, model=COMMON) for _ in range(2)]
    urgent = await world.submit_job(tenant, model=RARE, priority=1)
    assert [await run_next_job(node) for _ in range(2)] == [urgent, warm]
    age = "UPDATE jobs SET passed_over_at = passed_over_at - interval '31 s' WHERE id = $1 RETURNING passed_over_at"
    assert await world.system.sql.fetchval(age, cold) is not None
    assert [await run_next_job(node) for _ in range(2)] == [cold, later_warm]


@pytest.mark.requirement("placement.charge")
async def test_claim_charges_an_estimated_cost_that_the_end_replaces_with_the_actual_cost(world: World) -> None:
    tenant, node, sql = world.add_tenant(), await world.add_node(), world.system.sql
    job_id = await world.submit_job(tenant)
    vtime = "SELECT vtime FROM tenants WHERE id = $1"
    began = await sql.fetchval(vtime, tenant)
    given = await node.claim_attempt()
    charged = await sql.fetchval("SELECT cost FROM attempts WHERE job_id = $1", job_id)
    assert charged >= MIN_COST_S
    assert await sql.fetchval(vtime, tenant) - began == pytest.approx(charged)
    assert await node.finish(given.ref, gpu_seconds=7.0)
    assert await sql.fetchval(vtime, tenant) - began == pytest.approx(7)


@pytest.mark.requirement("placement.charge")
async def test_estimated_cost_is_the_mean_of_the_newest_20_jobs_that_succeeded(
    world: World, second_sql: asyncpg.Connection
) -> None:
    model = f"{new_id()}.safetensors"
    tenant, node = world.add_tenant(), await world.add_node(model)
    await world.until_offered(model)
    for number, gpu_seconds in enumerate([1000.0, *[4.0] * 10, *[6.0] * 10, 1000.0]):
        await world.submit_job(tenant, model=model)
        outcome = Outcome.FAILED if number == 21 else Outcome.SUCCEEDED
        assert await node.finish((await node.claim_attempt()).ref, outcome, gpu_seconds=gpu_seconds)
    assert await attempts.compute_mean_gpu_seconds(second_sql) == pytest.approx(5)


@pytest.mark.requirement("placement.fair")
async def test_warm_job_of_another_tenant_runs_first_only_within_one_job_of_the_fair_share(world: World) -> None:
    due, other, node = world.add_tenant(), world.add_tenant(), await world.add_node(COMMON, RARE)
    await world.until_offered(RARE)
    node.loaded = HAS_COMMON
    cold = await world.submit_job(due, model=RARE)
    warm = [await world.submit_job(other, model=COMMON) for _ in range(2)]
    advance = "UPDATE tenants SET vtime = (SELECT vtime FROM tenants WHERE id = $1) + $3 WHERE id = $2"
    await world.system.sql.execute(advance, due, other, 0.5)
    assert await run_next_job(node) == warm[0]
    await world.system.sql.execute(advance, due, other, 1e9)  # no job costs as much, including those of earlier tests
    assert [await run_next_job(node) for _ in range(2)] == [cold, warm[1]]


async def test_node_prefers_jobs_whose_models_are_loaded_nowhere_over_those_loaded_elsewhere(world: World) -> None:
    # New names: nodes of earlier tests may have other models loaded, and the scheduler may know their time to load.
    loaded, unloaded = [f"{new_id()}.safetensors" for _ in range(2)]
    tenant, node, other = world.add_tenant(), *[await world.add_node(loaded, unloaded) for _ in range(2)]
    await world.until_offered(unloaded)
    other.loaded = (f"CheckpointLoaderSimple.ckpt_name={loaded}",)
    assert await other.request_work() is None
    elsewhere, cold = [await world.submit_job(tenant, model=model) for model in (loaded, unloaded)]
    assert await run_next_job(node) == cold
    assert await run_next_job(node) == elsewhere


@pytest.mark.requirement("placement.idle")
async def test_waiting_node_gets_a_job_though_a_node_that_has_its_models_requests_nothing(world: World) -> None:
    model = f"{new_id()}.safetensors"  # new, so that the scheduler does not know its time to load
    tenant, cold, warm = world.add_tenant(max_running=1), *[await world.add_node(model) for _ in range(2)]
    await world.until_offered(model)
    first, second = [await world.submit_job(tenant, model=model) for _ in range(2)]
    given = await warm.claim_attempt()
    assert given.ref.job_id == first
    waiting = await cold.start_waiting()
    assert await warm.finish(given.ref)
    assert await finish_job(cold, await waiting) == second
    last = await world.add_node(model)
    waiting = asyncio.create_task(last.request_work(wait_s=30))
    third = await world.submit_job(tenant, model=model)
    assert await finish_job(last, await waiting) == third


@pytest.mark.requirement("placement.idle")
async def test_waiting_node_that_has_loaded_the_models_gets_the_job_and_the_other_gets_the_next(world: World) -> None:
    models = [f"{new_id()}.safetensors" for _ in range(2)]  # new, so that the scheduler does not know its time to load
    tenant, cold, warm = world.add_tenant(), *[await world.add_node(*models) for _ in range(2)]
    await world.until_offered(models[0])
    for node, model in zip((cold, warm), models, strict=True):
        node.loaded = (f"CheckpointLoaderSimple.ckpt_name={model}",)
    waiting = [(node, await node.start_waiting()) for node in (cold, warm)]
    jobs = [await world.submit_job(tenant, model=models[1]) for _ in waiting]
    assert [await finish_job(node, await task) for node, task in reversed(waiting)] == jobs


async def start_on_warm_node(
    world: World, tenant: UUID, warm: Node, model: str, *, load_s: float, run_s: float = 0.5
) -> AttemptRef:
    """Make the scheduler learn how long a model takes to load and run; then claim one more job on the warm node."""
    for gpu_seconds in (load_s + run_s, run_s):
        await world.submit_job(tenant, model=model)
        given = await warm.claim_attempt()
        assert await warm.finish(given.ref, gpu_seconds=gpu_seconds)

    async def is_learned() -> bool:
        sql = """SELECT count(*) FROM run_times WHERE scope = 'models'
            AND id = (SELECT requirement_id FROM jobs WHERE id = $1)"""
        return bool(await world.system.sql.fetchval(sql, given.ref.job_id) == 2)

    await until(is_learned)
    await world.submit_job(tenant, model=model)
    return (await warm.claim_attempt()).ref


@pytest.mark.requirement("placement.leave")
async def test_idle_node_defers_a_job_to_a_busy_node_that_has_its_models_while_that_is_sooner(world: World) -> None:
    for load_s, is_deferred in ((20.0, True), (0.7, False)):
        model = f"{new_id()}.safetensors"
        tenant, cold, warm = world.add_tenant(), *[await world.add_node(model) for _ in range(2)]
        await world.until_offered(model)
        running = await start_on_warm_node(world, tenant, warm, model, load_s=load_s)
        waiting = await cold.start_waiting()
        job_id = await world.submit_job(tenant, model=model)
        if is_deferred:
            assert await cold.request_work() is None
            assert await warm.finish(running)
            running = (await warm.claim_attempt()).ref
            assert running.job_id == job_id
            waiting.cancel()
        else:
            given = await waiting
            assert given is not None
            assert given.ref.job_id == job_id
            assert await cold.finish(given.ref)
        assert await warm.finish(running)


@pytest.mark.requirement("placement.leave")
async def test_busy_node_is_expected_to_be_free_when_its_current_job_ends_not_after_those_that_ended_early(
    world: World,
) -> None:
    model = f"{new_id()}.safetensors"
    tenant, cold, warm = world.add_tenant(), *[await world.add_node(model) for _ in range(2)]
    await world.until_offered(model)
    running = await start_on_warm_node(world, tenant, warm, model, load_s=40, run_s=15)
    assert await warm.finish(running, gpu_seconds=15)  # at once, although the scheduler expects 15 s
    await world.submit_job(tenant, model=model)
    running = (await warm.claim_attempt()).ref
    job_id = await world.submit_job(tenant, model=model)
    assert await cold.request_work() is None
    assert await warm.finish(running)
    running = (await warm.claim_attempt()).ref
    assert running.job_id == job_id
    assert await warm.finish(running)


@pytest.mark.requirement("placement.leave")
async def test_prefetched_job_moves_to_the_waiting_node_that_has_its_models(world: World) -> None:
    model = f"{new_id()}.safetensors"
    tenant, cold, idle, busy = world.add_tenant(), *[await world.add_node(model) for _ in range(3)]
    await world.until_offered(model)
    running = await start_on_warm_node(world, tenant, busy, model, load_s=20.0)
    job_id = await world.submit_job(tenant, model=model)
    prefetched = await busy.prefetch_attempt(running)
    cold.loaded, idle.loaded = (), (f"CheckpointLoaderSimple.ckpt_name={model}",)
    async with release_hints(busy) as hints:
        waiting = [await node.start_waiting() for node in (cold, idle)]  # the cold node has waited for longer
        async with asyncio.timeout(RECLAIMED_WITHIN_S):
            assert (await hints.get()).job_id == job_id
        assert await busy.finish(prefetched.ref, Outcome.RELEASED, error=None)
        moved = await waiting[1]
    assert moved is not None
    assert moved.ref.job_id == job_id
    waiting[0].cancel()
    assert await idle.finish(moved.ref)
    assert await busy.finish(running)
