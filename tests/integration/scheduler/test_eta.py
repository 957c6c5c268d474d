"""Estimated start and end of jobs, and their accuracy, as users and operators see them."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
import pytest

from chassis.database.postgres import UNAVAILABLE_ERRORS
from chassis.ids import new_id
from contracts.scheduler.attempts import Outcome
from contracts.scheduler.heartbeats import Gpu, NodeSystem
from contracts.scheduler.waiting import WaitReason
from scheduler.domain.durations import compute_midpoint, find_bin
from scheduler.domain.run_times import HistogramKey, HistogramScope
from scheduler.store import run_times
from scheduler.store.run_times import lock_histograms, prune_histograms
from scheduler.usecases.run_time_history import RunTimeHistory
from tests.integration.scheduler.conftest import COMMON, Node, World, build_graph
from tests.integration.scheduler.operator import Operator
from tests.kit.postgres import database_with_long_timeout
from tests.kit.waiting import until

RUN_S = 40.0
ON_GPU = NodeSystem(executor_version="1", gpus=(Gpu(name="H200", memory_total_bytes=1, memory_free_bytes=1),))


@asynccontextmanager
async def rolled_back(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """Roll back what the block does on this connection."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    finally:
        await transaction.rollback()


async def run_job(world: World, tenant: UUID, node: Node, *, seconds: float, **fields: object) -> UUID:
    job_id = await world.submit_job(tenant, **fields)
    given = await node.claim_attempt()
    assert given.ref.job_id == job_id
    assert await node.finish(given.ref, gpu_seconds=seconds)
    return job_id


async def save_runs_of_earlier_tests(world: World) -> None:
    """Wait until the scheduler has written the run times and estimates of all jobs that have ended."""
    model = f"{new_id()}.safetensors"
    tenant, node = world.add_tenant(), await world.add_node(model)
    await world.until_offered(model)
    job_id = await run_job(world, tenant, node, seconds=RUN_S, model=model)
    await until(lambda: is_learned(world, job_id))


async def is_learned(world: World, job_id: UUID) -> bool:
    sql = """SELECT count(*) FROM run_times r JOIN jobs j ON j.requirement_id = r.id
        WHERE j.id = $1 AND r.scope = 'models'"""
    return bool(await world.system.sql.fetchval(sql, job_id))


@pytest.mark.requirement("eta.position")
async def test_position_follows_the_turns_of_tenants_by_weight(world: World) -> None:
    await world.add_node()
    heavy, light, strong = world.add_tenant(), world.add_tenant(), world.add_tenant(weight=4)
    backlog = [await world.submit_job(heavy) for _ in range(6)]
    first = await world.submit_job(light)

    async def is_last(position: int) -> bool:
        return (await world.read_job(heavy, backlog[-1])).queue_position == position

    await until(lambda: is_last(7))  # waiting tenants are cached for some milliseconds
    assert [(await world.read_job(heavy, job_id)).queue_position for job_id in backlog[:3]] in ([1, 3, 4], [2, 3, 4])
    assert (await world.read_job(light, first)).queue_position in {1, 2}
    several = [await world.submit_job(strong) for _ in range(5)]
    await until(lambda: is_last(6 + 1 + 5))
    positions = [(await world.read_job(strong, job_id)).queue_position or 0 for job_id in several]
    assert positions[0] <= 3  # one job of each tenant runs first
    assert positions[-1] <= 5 + 3  # then four jobs of this tenant per job of another
    waiting = (await world.read_job(heavy, backlog[-1])).waiting
    assert waiting is not None
    assert waiting.detail.jobs_ahead == 5  # counts only jobs of the same account
    positions = [
        (await world.read_job(tenant, job_id)).queue_position or 0
        for tenant, jobs in ((heavy, backlog), (light, [first]), (strong, several))
        for job_id in jobs
    ]
    assert sorted(positions) == list(range(1, 13))


async def test_jobs_for_other_nodes_do_not_count_in_the_position(world: World) -> None:
    models = [f"{new_id()}.safetensors" for _ in range(2)]
    node, other = [await world.add_node(COMMON, model) for model in models]
    for model in models:
        await world.until_offered(model)
    mine, others = world.add_tenant(), world.add_tenant()
    for _ in range(3):
        await world.submit_job(others, model=models[1])
    first, second = [await world.submit_job(mine, model=models[0]) for _ in range(2)]
    await world.system.sql.execute("UPDATE tenants SET vtime = vtime + 100 WHERE id = $1", mine)
    given = [await one.claim_attempt() for one in (node, other)]  # the scheduler now knows what these nodes can run
    assert given[0].ref.job_id == first

    async def is_next() -> bool:  # the nodes that can run a job are cached for a second
        return (await world.read_job(mine, second)).queue_position == 1

    await until(is_next)
    for one, attempt in zip((node, other), given, strict=True):
        assert await one.finish(attempt.ref)


@pytest.mark.requirement(
    "eta.history", "table scheduler.run_times", "table scheduler.job_estimates", "table scheduler.eta_accuracy"
)
async def test_estimate_uses_earlier_runs_and_operators_see_its_accuracy(world: World) -> None:
    operator, sql = Operator(world.system.bus), world.system.sql
    await save_runs_of_earlier_tests(world)
    async with sql.acquire() as connection, connection.transaction():
        await lock_histograms(connection)  # otherwise TRUNCATE could deadlock with the scheduler
        await connection.execute("TRUNCATE run_times, job_estimates, eta_accuracy")
    model, other = f"{new_id()}.safetensors", f"{new_id()}.safetensors"  # only this node has them
    tenant, node = world.add_tenant(), await world.add_node(COMMON, model, other)
    await node.send_heartbeat(system=ON_GPU)
    await world.until_offered(model)
    loaded = (f"CheckpointLoaderSimple.ckpt_name={model}",)
    node.loaded = loaded
    wide = build_graph(model, images=8)

    await run_job(world, tenant, node, seconds=RUN_S, model=model)
    await run_job(world, tenant, node, seconds=8 * RUN_S, graph=wide)
    await run_job(world, tenant, node, seconds=RUN_S + 30, model=other)  # it has to load the model first

    async def are_learned() -> bool:
        learned = "SELECT count(*) FROM run_times WHERE scope = 'workflow' AND node_class = $1"
        return bool(await sql.fetchval(learned, ON_GPU.gpus[0].name) == 3)

    await until(are_learned)

    node.loaded = loaded
    assert await node.request_work() is None
    await node.send_heartbeat(system=ON_GPU, loaded=loaded)

    async def is_estimated() -> bool:
        job = (await world.submit(tenant, model=model)).job
        await world.cancel(tenant, job.job_id)
        return job.eta_seconds == pytest.approx(RUN_S, rel=0.15)

    await until(is_estimated)  # nodes and run times are cached for some seconds
    short = (await world.submit(tenant, model=model)).job
    assert short.eta_seconds == pytest.approx(RUN_S, rel=0.15)
    assert (short.eta_p90_seconds or 0) > (short.eta_seconds or 0)
    behind = (await world.submit(tenant, graph=wide)).job
    assert behind.queue_position == 2
    mean_s = 4.5 * RUN_S  # mean of the two runs with this model
    assert behind.eta_seconds == pytest.approx(mean_s + 8 * RUN_S, rel=0.15)

    given = await node.claim_attempt()
    assert given.ref.job_id == short.job_id
    assert await node.start(given.ref)
    running = await world.read_job(tenant, short.job_id)
    assert running.queue_position is None
    assert running.eta_seconds == pytest.approx(RUN_S, rel=0.15)
    assert await node.finish(given.ref, gpu_seconds=RUN_S)
    given = await node.claim_attempt()
    assert await node.finish(given.ref, gpu_seconds=8 * RUN_S)
    assert (await world.read_job(tenant, short.job_id)).eta_seconds is None

    async def is_compared() -> bool:
        stats = await operator.stats()
        return stats.eta_end is not None and stats.eta_start is not None and stats.eta_end.jobs >= 2

    await until(is_compared)
    found = (await operator.stats()).eta_end
    assert found is not None
    assert (found.within_p50, found.within_p90) == (1, 1)  # jobs of this test end at once
    assert found.ratio_p50 < 1
    assert not await sql.fetchval(
        "SELECT count(*) FROM job_estimates WHERE job_id = ANY($1)", [short.job_id, behind.job_id]
    )


@pytest.mark.requirement("eta.history")
async def test_only_runs_of_succeeded_jobs_are_learned(world: World) -> None:
    models = [f"{new_id()}.safetensors" for _ in range(2)]
    tenant, node = world.add_tenant(), await world.add_node(*models)
    await world.until_offered(models[1])
    failed = await world.submit_job(tenant, model=models[0])
    given = await node.claim_attempt()
    assert given.ref.job_id == failed
    assert await node.finish(given.ref, Outcome.FAILED, gpu_seconds=RUN_S)
    succeeded = await run_job(world, tenant, node, seconds=RUN_S, model=models[1])
    await until(lambda: is_learned(world, succeeded))  # runs are saved in the order of their ends
    assert not await is_learned(world, failed)


@pytest.mark.requirement("eta.history")
async def test_estimate_adds_the_running_and_the_prefetched_job_of_the_only_node(world: World) -> None:
    model, run_s = f"{new_id()}.safetensors", 1000 * RUN_S  # far longer than the test takes
    tenant, node = world.add_tenant(), await world.add_node(COMMON, model)
    await world.until_offered(model)
    learned = await run_job(world, tenant, node, seconds=run_s, model=model)
    await until(lambda: is_learned(world, learned))
    for _ in range(2):
        await world.submit_job(tenant, model=model)
    running = await node.claim_attempt()
    assert await node.start(running.ref)
    prefetched = await node.prefetch_attempt(running.ref)
    queued = await world.submit_job(tenant, model=model)
    estimated_s = compute_midpoint(find_bin(run_s))  # run times are rounded to bins

    async def is_estimated(jobs: float) -> bool:  # nodes are cached for a second
        return (await world.read_job(tenant, queued)).eta_seconds == pytest.approx(jobs * estimated_s, rel=0.02)

    await until(lambda: is_estimated(3))
    has_run = "UPDATE attempts SET leased_at = now() - make_interval(secs => $2) WHERE job_id = $1"
    await world.system.sql.execute(has_run, running.ref.job_id, 0.5 * estimated_s)
    await until(lambda: is_estimated(2.5))
    await world.system.sql.execute(has_run, running.ref.job_id, 5 * estimated_s)
    await until(lambda: is_estimated(2.25))  # an overdue job counts as a quarter of a run
    for attempt in (running, prefetched):
        assert await node.finish(attempt.ref)


@pytest.mark.requirement("eta.history")
async def test_estimate_adds_load_time_unless_a_usable_node_has_loaded_the_models(world: World) -> None:
    model, load_s = f"{new_id()}.safetensors", 8 * RUN_S
    loaded = (f"CheckpointLoaderSimple.ckpt_name={model}",)
    tenant, node = world.add_tenant(), await world.add_node(COMMON, model)
    await world.until_offered(model)
    runs = {}
    for models, seconds in (((), RUN_S + load_s), (loaded, RUN_S)):
        node.loaded = models
        await node.send_heartbeat(loaded=models)
        runs[models] = await run_job(world, tenant, node, seconds=seconds, model=model)
    await until(lambda: is_learned(world, runs[loaded]))

    async def is_estimated(seconds: float) -> bool:  # nodes and run times are cached for some seconds
        return (await world.read_job(tenant, queued)).eta_seconds == pytest.approx(seconds, rel=0.15)

    await node.send_heartbeat(loaded=())
    queued = await world.submit_job(tenant, model=model)
    await until(lambda: is_estimated(RUN_S + load_s))
    await node.send_heartbeat(loaded=loaded)
    await until(lambda: is_estimated(RUN_S))


@pytest.mark.requirement("eta.history")
async def test_run_is_learned_after_another_scheduler_had_the_run_times_locked_for_too_long(
    world: World, second_sql: asyncpg.Connection
) -> None:
    model, sql = f"{new_id()}.safetensors", world.system.sql
    tenant, node = world.add_tenant(), await world.add_node(model)
    await world.until_offered(model)

    async def count_waiting() -> int:
        sql_waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        return int(await sql.fetchval(sql_waiting))

    async def waits() -> bool:
        return await count_waiting() == 1

    async def has_given_up() -> bool:
        return await count_waiting() == 0

    async with second_sql.transaction():
        await lock_histograms(second_sql)
        job_id = await run_job(world, tenant, node, seconds=RUN_S, model=model)
        await until(waits)
        await until(has_given_up)  # the lock timeout has passed
        assert not await is_learned(world, job_id)
    await until(lambda: is_learned(world, job_id))


@pytest.mark.requirement("table scheduler.run_times")
async def test_newest_run_times_of_each_scope_are_kept_for_60_days(second_sql: asyncpg.Connection) -> None:
    async with rolled_back(second_sql):
        await second_sql.execute("TRUNCATE run_times")
        await second_sql.execute(
            """INSERT INTO run_times (scope, id, node_class, loads_models, bins, updated_at)
            SELECT scope, id, '', false, '{}'::jsonb, now() - make_interval(mins => id) + interval '1 second'
            FROM generate_series(1, 4010) id, unnest(ARRAY['workflow', 'models']) scope
            UNION ALL SELECT 'fleet', days, '', false, '{}'::jsonb, now() - make_interval(days => days)
            FROM unnest(ARRAY[59, 61]) days"""
        )
        await prune_histograms(second_sql)
        rows = await second_sql.fetch("SELECT scope, count(*) AS rows, max(id) AS oldest FROM run_times GROUP BY scope")
    found = {row["scope"]: (row["rows"], row["oldest"]) for row in rows}
    assert found == {"workflow": (4000, 4000), "models": (4000, 4000), "fleet": (1, 59)}


@pytest.mark.requirement("eta.unknown")
async def test_job_that_no_node_can_run_has_no_estimate(world: World) -> None:
    model = f"{new_id()}.safetensors"
    tenant, node = world.add_tenant(), await world.add_node(COMMON, model)
    await world.until_offered(model)
    await run_job(world, tenant, node, seconds=RUN_S, model=model)
    job_id = await world.submit_job(tenant, model=model)

    async def has_estimate() -> bool:
        return (await world.read_job(tenant, job_id)).eta_seconds is not None

    await until(has_estimate)
    await node.send_heartbeat(online=False)

    async def is_offline() -> bool:
        waiting = (await world.read_job(tenant, job_id)).waiting
        return waiting is not None and waiting.reason is not WaitReason.QUEUE

    await until(is_offline)
    job = await world.read_job(tenant, job_id)
    assert (job.queue_position, job.eta_seconds, job.eta_p90_seconds) == (1, None, None)


async def test_run_times_are_read_again_at_once_after_their_connection_died(
    world: World, second_sql: asyncpg.Connection
) -> None:
    key = HistogramKey(HistogramScope.WORKFLOW, secrets.randbits(40), "", loads_models=False)
    database, history = database_with_long_timeout(world.system.database_url, name="scheduler"), RunTimeHistory()
    try:
        async with database.transaction() as connection:
            await run_times.save_histograms(connection, {key: {1: 1.0}})
        async with database.connection() as connection:
            pid = await connection.fetchval("SELECT pg_backend_pid()")
            assert await second_sql.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)
            with pytest.raises(UNAVAILABLE_ERRORS):
                await history.refresh_history(connection)
        assert len(history.run_times) == 0
        async with database.connection() as connection:
            await history.refresh_history(connection)
    finally:
        await database.close()
    assert len(history.run_times) > 0
