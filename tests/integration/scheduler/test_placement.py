"""Which job runs on which node, and where a job is retried."""

from collections import Counter
from uuid import UUID, uuid4

import pytest

from chassis.ids import new_id
from contracts.scheduler.attempts import Outcome
from contracts.scheduler.fleet import READ_CLASSES, READ_FLEET, ReadClasses, ReadFleet
from contracts.scheduler.heartbeats import HEARTBEAT, Heartbeat
from contracts.scheduler.jobs import JobState
from contracts.scheduler.submissions import SUBMIT_JOB, SubmitJob
from tests.integration.scheduler.conftest import BROKEN, COMMON, RARE, World, build_graph, final_states
from tests.kit.waiting import until

CLAIMS, WITHIN = 40, 2


@pytest.mark.requirement("table scheduler.nodes", "table scheduler.catalogs", "table scheduler.requirements")
async def test_job_that_one_node_can_run_waits_for_it_without_blocking_others(world: World) -> None:
    tenant, ours, theirs = world.add_tenant(), await world.add_node(COMMON), await world.add_node(COMMON, RARE)
    await world.until_offered(RARE)
    rare = await world.submit_job(tenant, model=RARE, priority=100)
    common = [await world.submit_job(tenant, priority=priority) for priority in (1, 2)]
    for expected in reversed(common):
        given = await ours.claim_attempt()
        assert given.ref.job_id == expected
        assert await ours.finish(given.ref)
    assert await ours.request_work() is None
    given = await theirs.claim_attempt()
    assert given.ref.job_id == rare
    assert await theirs.finish(given.ref)


async def test_node_claims_a_job_with_a_model_that_no_earlier_job_needed(world: World) -> None:
    tenant, node = world.add_tenant(), await world.add_node("first.safetensors", "second.safetensors")
    await world.until_offered("second.safetensors")
    for model in ("first.safetensors", "second.safetensors"):
        job_id = await world.submit_job(tenant, model=model)
        given = await node.claim_attempt()
        assert given.ref.job_id == job_id
        assert await node.finish(given.ref)


@pytest.mark.requirement("submission.priority")
async def test_jobs_of_a_tenant_run_by_priority_then_age(world: World) -> None:
    tenant, node = world.add_tenant(), await world.add_node()
    made = [(await world.submit_job(tenant, priority=priority), priority) for priority in (0, 5, -5, 5, 0)]
    positions = {job_id: (await world.read_job(tenant, job_id)).queue_position for job_id, _ in made}
    expected = [made[index][0] for index in (1, 3, 0, 4, 2)]
    assert [positions[job_id] for job_id in expected] == [1, 2, 3, 4, 5]
    for job_id in expected:
        given = await node.claim_attempt()
        assert given.ref.job_id == job_id
        assert await node.finish(given.ref)


@pytest.mark.requirement("F-27", "limit.weight")
async def test_nodes_are_shared_by_the_weights_of_tenants(world: World) -> None:
    one, three, node = world.add_tenant(weight=1), world.add_tenant(weight=3), await world.add_node()
    for tenant in (one, three):
        for _ in range(CLAIMS):
            await world.submit_job(tenant)
    claimed: Counter[UUID] = Counter()
    for _ in range(CLAIMS):
        given = await node.claim_attempt()
        assert await node.start(given.ref)
        assert await node.finish(given.ref, gpu_seconds=1)
        claimed[given.ref.tenant_id] += 1
    assert abs(claimed[one] - CLAIMS // 4) <= WITHIN
    assert claimed.total() == CLAIMS


async def test_tenant_with_longer_jobs_gets_fewer_claims(world: World) -> None:
    short, long, node = world.add_tenant(), world.add_tenant(), await world.add_node()
    for tenant in (short, long):
        for _ in range(20):
            await world.submit_job(tenant)
    claimed: Counter[UUID] = Counter()
    for _ in range(20):
        given = await node.claim_attempt()
        claimed[given.ref.tenant_id] += 1
        assert await node.finish(given.ref, gpu_seconds=9 if given.ref.tenant_id == long else 1)
    assert abs(claimed[long] - 2) <= 1


@pytest.mark.requirement("F-27")
async def test_idle_tenant_earns_no_credit(world: World) -> None:
    busy, idle, node = world.add_tenant(), world.add_tenant(), await world.add_node()
    for _ in range(15):
        await world.submit_job(busy)
    for _ in range(5):
        given = await node.claim_attempt()
        assert await node.finish(given.ref)
    for _ in range(10):
        await world.submit_job(idle)
    claimed: Counter[UUID] = Counter()
    for _ in range(10):
        given = await node.claim_attempt()
        claimed[given.ref.tenant_id] += 1
        assert await node.finish(given.ref)
    assert abs(claimed[busy] - 5) <= 1


async def test_node_fault_is_retried_until_all_attempts_are_used(world: World) -> None:
    tenant, nodes = world.add_tenant(images_per_day=2), [await world.add_node() for _ in range(3)]
    job_id = await world.submit_job(tenant, images=2)
    for attempt, node in enumerate(nodes, start=1):
        assert await world.count_charged_images(tenant) == 2
        given = await node.claim_attempt()
        assert (given.ref.job_id, given.ref.attempt) == (job_id, attempt)
        assert await node.start(given.ref)
        assert await node.finish(given.ref, Outcome.NODE_FAULT)
    job = await world.read_job(tenant, job_id)
    assert (job.state, job.error, job.attempt, job.images) == (JobState.FAILED, BROKEN, 3, 0)
    assert await world.count_charged_images(tenant) == 0
    assert await world.list_causes(tenant, job_id) == [
        "submitted",
        *("claimed", "started", "node_fault") * 2,
        *("claimed", "started", "attempts_exhausted"),
    ]
    assert final_states(await world.list_events(tenant, job_id)) == [JobState.FAILED]


async def test_successful_retry_shows_no_error(world: World) -> None:
    tenant, node, other = world.add_tenant(), await world.add_node(), await world.add_node()
    job_id = await world.submit_job(tenant)
    given = await node.claim_attempt()
    assert await node.start(given.ref)
    await node.send_heartbeat(given.ref, progress=60)
    assert await node.finish(given.ref, Outcome.NODE_FAULT)
    job = await world.read_job(tenant, job_id)
    assert (job.state, job.error, job.progress, job.started_at, job.queue_position) == ("queued", None, 0, None, 1)
    again = await other.claim_attempt()
    assert again.ref.attempt == 2
    assert again.ref.lease_token != given.ref.lease_token
    assert again.prompt_id != given.prompt_id
    assert await other.finish(again.ref)
    job = await world.read_job(tenant, job_id)
    assert (job.state, job.error, job.images) == (JobState.SUCCEEDED, None, 1)


async def test_failed_workflow_is_not_retried(world: World) -> None:
    tenant, node, other = world.add_tenant(), await world.add_node(), await world.add_node()
    job_id = await world.submit_job(tenant, images=3)
    given = await node.claim_attempt()
    assert await node.finish(given.ref, Outcome.FAILED)
    job = await world.read_job(tenant, job_id)
    assert (job.state, job.error, job.images) == (JobState.FAILED, BROKEN, 0)
    assert await world.count_charged_images(tenant) == 0
    assert await other.request_work() is None
    assert await world.list_causes(tenant, job_id) == ["submitted", "claimed", "failed"]


async def test_attempt_that_the_node_cancelled_unasked_is_retried_like_a_node_fault(world: World) -> None:
    tenant, node = world.add_tenant(), await world.add_node()
    job_id = await world.submit_job(tenant)
    given = await node.claim_attempt()
    assert await node.finish(given.ref, Outcome.CANCELLED)
    assert (await world.read_job(tenant, job_id)).state is JobState.QUEUED
    again = await node.claim_attempt()
    assert await node.finish(again.ref)


async def test_class_list_merges_classes_and_options_of_all_nodes(world: World) -> None:
    await world.add_node(COMMON)
    await world.add_node(COMMON, RARE)
    await world.until_offered(RARE)
    page = await world.system.bus.request(READ_CLASSES, ReadClasses())
    names = ["CheckpointLoaderSimple", "Draw", "EmptyLatentImage", "Guess", "SaveImage", "SaveText"]
    assert [found.name for found in page.classes] == names
    assert {COMMON, RARE} <= set(page.classes[0].spec.inputs["ckpt_name"].options or ())
    assert not page.more
    one = await world.system.bus.request(READ_CLASSES, ReadClasses(name="Draw", limit=1))
    assert [found.spec.outputs for found in one.classes] == [("IMAGE",)]


async def test_loaded_model_is_listed_before_equally_common_models(world: World) -> None:
    loader, first, second = "CheckpointLoaderSimple.ckpt_name", "only-here-1.safetensors", "only-here-2.safetensors"
    node = await world.add_node(COMMON, first, second)
    await world.until_offered(second)

    async def order() -> list[str]:
        models = (await world.system.bus.request(READ_FLEET, ReadFleet())).models[loader]
        return [model for model in models if model in {first, second}]

    async def is_turned() -> bool:
        return await order() == [second, first]

    assert await order() == [first, second]
    beat = Heartbeat(
        boot_id=node.boot_id,
        online=True,
        catalog_digest=node.models.digest,
        attempt=None,
        loaded=(f"{loader}={second}",),
    )
    await world.system.bus.request(HEARTBEAT, beat, key=node.name)
    await until(is_turned)


async def test_inputs_model_and_seed_of_a_submit_are_stored_with_the_job(world: World) -> None:
    tenant, node = world.add_tenant(), await world.add_node()
    uploads = (uuid4(), uuid4())
    command = SubmitJob(
        job_id=new_id(),
        graph=build_graph(),
        inputs=uploads,
        model="m.safetensors",
        seed=2**64 - 1,
        request_hash="0" * 64,
    )
    await world.system.bus.request(SUBMIT_JOB, command, tenant=str(tenant))
    job = await world.read_job(tenant, command.job_id)
    assert (job.model, job.seed) == ("m.safetensors", 2**64 - 1)
    given = await node.claim_attempt()
    assert given.inputs == uploads
    assert await node.request_work() == given.model_copy(
        update={"renewed": True}
    )  # also in the reply to a repeated request
    assert await node.finish(given.ref)
