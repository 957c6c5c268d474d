"""A job whose node died is tried once more on another node; if that dies as well, the job fails."""

import pytest

from contracts.scheduler.attempts import Outcome
from contracts.scheduler.job_actions import JobAction
from contracts.scheduler.jobs import JobState
from contracts.scheduler.nodes import NodeAction
from tests.integration.scheduler.conftest import BROKEN, COMMON, World
from tests.integration.scheduler.operator import Operator

DEATH = {"node_died": True}


async def spent(world: World, tenant: object) -> tuple[float, float]:
    """Return the tenant's total GPU-seconds and its ``vtime``."""
    row = await world.system.sql.fetchrow(
        """SELECT t.vtime, (SELECT coalesce(sum(gpu_seconds), 0) FROM usage_days u WHERE u.tenant_id = t.id) AS used
        FROM tenants t WHERE t.id = $1""",
        tenant,
    )
    return row["used"], row["vtime"]


async def let_pass(world: World, job_id: object, seconds: int) -> None:
    """Shorten by ``seconds`` how long a job still avoids the node that failed it."""
    sql = "UPDATE jobs SET avoid_until = avoid_until - make_interval(secs => $2) WHERE id = $1"
    await world.system.sql.execute(sql, job_id, seconds)


@pytest.mark.requirement("F-37")
async def test_job_fails_without_a_third_attempt_after_two_node_deaths(world: World) -> None:
    model, tenant = "killer.safetensors", world.add_tenant()
    first, second, third = [await world.add_node(model) for _ in range(3)]
    await world.until_offered(model)
    job_id = await world.submit_job(tenant, model=model, images=4)
    began = (await spent(world, tenant))[1]
    given = await first.claim_attempt()
    assert await first.start(given.ref)
    assert await first.finish(given.ref, Outcome.NODE_FAULT, gpu_seconds=7, **DEATH)
    assert await first.request_work() is None
    again = await second.claim_attempt()
    assert (again.ref.job_id, again.ref.attempt) == (job_id, 2)
    assert await second.start(again.ref)
    assert await second.finish(again.ref, Outcome.NODE_FAULT, gpu_seconds=5, **DEATH)
    job = await world.read_job(tenant, job_id)
    assert job.error is not None
    assert (job.state, job.error.code, job.attempt) == (JobState.FAILED, "job.poison", 2)
    assert [await node.request_work() for node in (first, second, third)] == [None] * 3
    assert await world.list_causes(tenant, job_id) == [
        "submitted",
        *("claimed", "started", "node_fault"),
        *("claimed", "started", "poisoned"),
    ]
    assert (job.images, await world.count_charged_images(tenant)) == (0, 0)
    used, vtime = await spent(world, tenant)
    assert (used, vtime - began) == pytest.approx((12, 12))


async def test_duplicate_report_of_a_node_death_is_counted_once(world: World) -> None:
    model, tenant = "again.safetensors", world.add_tenant()
    first, second = [await world.add_node(model) for _ in range(2)]
    await world.until_offered(model)
    job_id = await world.submit_job(tenant, model=model)
    given = await first.claim_attempt()
    assert await first.finish(given.ref, Outcome.NODE_FAULT, gpu_seconds=3, **DEATH)
    assert not await first.finish(given.ref, Outcome.NODE_FAULT, gpu_seconds=3, **DEATH)
    again = await second.claim_attempt()
    assert await second.finish(again.ref)
    assert (await world.read_job(tenant, job_id)).state is JobState.SUCCEEDED
    assert (await spent(world, tenant))[0] == pytest.approx(3 + 1)


async def test_node_that_died_takes_other_jobs_while_the_retry_waits_for_another_node(world: World) -> None:
    model, tenant, other = "mixed.safetensors", world.add_tenant(), world.add_tenant()
    first, second = [await world.add_node(model) for _ in range(2)]
    await world.until_offered(model)
    killer = await world.submit_job(tenant, model=model, priority=100)
    given = await first.claim_attempt()
    assert given.ref.job_id == killer
    innocents = [await world.submit_job(whose, model=model) for whose in (tenant, other)]
    assert await first.finish(given.ref, Outcome.NODE_FAULT, **DEATH)
    taken = []
    for _ in innocents:
        found = await first.claim_attempt()
        taken.append(found.ref.job_id)
        assert await first.finish(found.ref)
    assert sorted(taken) == sorted(innocents)
    assert await first.request_work() is None
    again = await second.claim_attempt()
    assert again.ref.job_id == killer
    assert await second.finish(again.ref)


async def test_only_capable_node_gets_the_retry_at_once(world: World) -> None:
    model, tenant, node = "single.safetensors", world.add_tenant(), await world.add_node("single.safetensors")
    await world.add_node(COMMON)  # online, but cannot run the job
    cordoned = await world.add_node(model)
    await world.until_offered(model)
    await Operator(world.system.bus).node(cordoned.name, NodeAction.CORDON)
    job_id = await world.submit_job(tenant, model=model)
    given = await node.claim_attempt()
    assert await node.finish(given.ref, Outcome.NODE_FAULT, **DEATH)
    again = await node.claim_attempt()
    assert (again.ref.job_id, again.ref.attempt) == (job_id, 2)
    assert await node.finish(again.ref)


async def test_retry_returns_to_its_node_after_the_avoidance_period(world: World) -> None:
    model, tenant = "patience.safetensors", world.add_tenant()
    node, _ = [await world.add_node(model) for _ in range(2)]
    await world.until_offered(model)
    job_id = await world.submit_job(tenant, model=model)
    given = await node.claim_attempt()
    assert await node.finish(given.ref, Outcome.NODE_FAULT, **DEATH)
    await let_pass(world, job_id, 100)
    assert await node.request_work() is None
    await let_pass(world, job_id, 21)
    again = await node.claim_attempt()
    assert again.ref.job_id == job_id
    assert await node.finish(again.ref)


async def test_node_faults_without_node_deaths_use_all_attempts(world: World) -> None:
    model, tenant = "faulty.safetensors", world.add_tenant()
    nodes = [await world.add_node(model) for _ in range(3)]
    await world.until_offered(model)
    job_id = await world.submit_job(tenant, model=model)
    for node, more in zip(nodes, (DEATH, {}, {}), strict=True):
        given = await node.claim_attempt()
        assert await node.finish(given.ref, Outcome.NODE_FAULT, **more)
    job = await world.read_job(tenant, job_id)
    assert (job.state, job.error, job.attempt) == (JobState.FAILED, BROKEN, 3)
    assert (await world.list_causes(tenant, job_id))[-1] == "attempts_exhausted"


async def test_withdrawn_attempt_does_not_count_as_a_node_death(world: World) -> None:
    model, tenant = "withdrawn.safetensors", world.add_tenant()
    nodes = [await world.add_node(model) for _ in range(3)]
    await world.until_offered(model)
    job_id = await world.submit_job(tenant, model=model)
    given = await nodes[0].claim_attempt()
    assert await nodes[0].finish(given.ref, Outcome.NODE_FAULT, **DEATH)
    given = await nodes[1].claim_attempt()
    await Operator(world.system.bus).job(job_id, JobAction.REQUEUE)
    given = await nodes[2].claim_attempt()
    assert given.ref.attempt == 3
    assert await nodes[2].finish(given.ref)
    assert (await world.read_job(tenant, job_id)).state is JobState.SUCCEEDED


async def test_cancelled_job_whose_node_dies_stays_cancelled_and_is_charged(world: World) -> None:
    model, tenant, node = "called-off.safetensors", world.add_tenant(), await world.add_node("called-off.safetensors")
    await world.until_offered(model)
    job_id = await world.submit_job(tenant, model=model)
    given = await node.claim_attempt()
    assert (await world.cancel(tenant, job_id)).state is JobState.CANCELLED
    assert await node.finish(given.ref, Outcome.NODE_FAULT, gpu_seconds=4, **DEATH)
    assert (await world.read_job(tenant, job_id)).state is JobState.CANCELLED
    assert (await spent(world, tenant))[0] == pytest.approx(4)


async def test_progress_never_decreases_within_an_attempt(world: World) -> None:
    model, tenant, node = "progress.safetensors", world.add_tenant(), await world.add_node("progress.safetensors")
    await world.until_offered(model)
    job_id = await world.submit_job(tenant, model=model)
    given = await node.claim_attempt()
    assert await node.start(given.ref)
    await node.send_heartbeat(given.ref, progress=70)
    await node.send_heartbeat(given.ref, progress=40)
    assert (await world.read_job(tenant, job_id)).progress == 70
    assert await node.finish(given.ref)
