"""Whose job runs where, and again where."""

from collections import Counter
from uuid import UUID, uuid4

import pytest

from chassis.ids import new_id
from contracts.scheduler.attempts import Outcome
from contracts.scheduler.fleet import READ_CLASSES, READ_FLEET, ReadClasses, ReadFleet
from contracts.scheduler.heartbeats import HEARTBEAT, Heartbeat
from contracts.scheduler.jobs import JobState
from contracts.scheduler.submissions import SUBMIT_JOB, SubmitJob
from tests.integration.scheduler.conftest import BROKEN, COMMON, RARE, World, final, graph
from tests.kit.waiting import until

CLAIMS, WITHIN = 40, 2


@pytest.mark.requirement("table scheduler.nodes", "table scheduler.catalogs", "table scheduler.requirements")
async def test_what_only_one_node_has_waits_for_it_and_blocks_nothing(world: World) -> None:
    tenant, ours, theirs = world.tenant(), await world.node(COMMON), await world.node(COMMON, RARE)
    await world.until_offered(RARE)
    rare = await world.job(tenant, model=RARE, priority=100)
    common = [await world.job(tenant, priority=priority) for priority in (1, 2)]
    for expected in reversed(common):
        given = await ours.claim()
        assert given.ref.job_id == expected
        assert await ours.finish(given.ref)
    assert await ours.ask() is None
    given = await theirs.claim()
    assert given.ref.job_id == rare
    assert await theirs.finish(given.ref)


async def test_node_that_claimed_before_claims_jobs_with_models_that_no_job_needed_so_far(world: World) -> None:
    tenant, node = world.tenant(), await world.node("first.safetensors", "second.safetensors")
    await world.until_offered("second.safetensors")
    for model in ("first.safetensors", "second.safetensors"):
        job_id = await world.job(tenant, model=model)
        given = await node.claim()
        assert given.ref.job_id == job_id
        assert await node.finish(given.ref)


@pytest.mark.requirement("submission.priority")
async def test_within_a_tenant_priority_goes_first_and_then_age(world: World) -> None:
    tenant, node = world.tenant(), await world.node()
    made = [(await world.job(tenant, priority=priority), priority) for priority in (0, 5, -5, 5, 0)]
    positions = {job_id: (await world.read(tenant, job_id)).queue_position for job_id, _ in made}
    expected = [made[index][0] for index in (1, 3, 0, 4, 2)]
    assert [positions[job_id] for job_id in expected] == [1, 2, 3, 4, 5]
    for job_id in expected:
        given = await node.claim()
        assert given.ref.job_id == job_id
        assert await node.finish(given.ref)


@pytest.mark.requirement("F-27", "limit.weight")
async def test_tenants_share_by_their_weights(world: World) -> None:
    one, three, node = world.tenant(weight=1), world.tenant(weight=3), await world.node()
    for tenant in (one, three):
        for _ in range(CLAIMS):
            await world.job(tenant)
    claimed: Counter[UUID] = Counter()
    for _ in range(CLAIMS):
        given = await node.claim()
        assert await node.start(given.ref)
        assert await node.finish(given.ref, gpu_seconds=1)
        claimed[given.ref.tenant_id] += 1
    assert abs(claimed[one] - CLAIMS // 4) <= WITHIN
    assert claimed.total() == CLAIMS


async def test_who_uses_more_of_a_node_gets_fewer_jobs(world: World) -> None:
    short, long, node = world.tenant(), world.tenant(), await world.node()
    for tenant in (short, long):
        for _ in range(20):
            await world.job(tenant)
    claimed: Counter[UUID] = Counter()
    for _ in range(20):
        given = await node.claim()
        claimed[given.ref.tenant_id] += 1
        assert await node.finish(given.ref, gpu_seconds=9 if given.ref.tenant_id == long else 1)
    assert abs(claimed[long] - 2) <= 1


@pytest.mark.requirement("F-27")
async def test_who_was_idle_has_saved_up_nothing(world: World) -> None:
    busy, idle, node = world.tenant(), world.tenant(), await world.node()
    for _ in range(15):
        await world.job(busy)
    for _ in range(5):
        given = await node.claim()
        assert await node.finish(given.ref)
    for _ in range(10):
        await world.job(idle)
    claimed: Counter[UUID] = Counter()
    for _ in range(10):
        given = await node.claim()
        claimed[given.ref.tenant_id] += 1
        assert await node.finish(given.ref)
    assert abs(claimed[busy] - 5) <= 1


async def test_a_nodes_fault_is_tried_again_elsewhere_until_the_attempts_are_used_up(world: World) -> None:
    tenant, nodes = world.tenant(images_per_day=2), [await world.node() for _ in range(3)]
    job_id = await world.job(tenant, images=2)
    for attempt, node in enumerate(nodes, start=1):
        assert await world.images(tenant) == 2
        given = await node.claim()
        assert (given.ref.job_id, given.ref.attempt) == (job_id, attempt)
        assert await node.start(given.ref)
        assert await node.finish(given.ref, Outcome.NODE_FAULT)
    job = await world.read(tenant, job_id)
    assert (job.state, job.error, job.attempt, job.images) == (JobState.FAILED, BROKEN, 3, 0)
    assert await world.images(tenant) == 0
    assert await world.causes(tenant, job_id) == [
        "submitted",
        *("claimed", "started", "node_fault") * 2,
        *("claimed", "started", "attempts_exhausted"),
    ]
    assert final(await world.log(tenant, job_id)) == [JobState.FAILED]


async def test_a_retry_that_succeeds_shows_nothing_of_the_fault(world: World) -> None:
    tenant, node, other = world.tenant(), await world.node(), await world.node()
    job_id = await world.job(tenant)
    given = await node.claim()
    assert await node.start(given.ref)
    await node.beat(given.ref, progress=60)
    assert await node.finish(given.ref, Outcome.NODE_FAULT)
    job = await world.read(tenant, job_id)
    assert (job.state, job.error, job.progress, job.started_at, job.queue_position) == ("queued", None, 0, None, 1)
    again = await other.claim()
    assert again.ref.attempt == 2
    assert again.ref.lease_token != given.ref.lease_token
    assert again.prompt_id != given.prompt_id
    assert await other.finish(again.ref)
    job = await world.read(tenant, job_id)
    assert (job.state, job.error, job.images) == (JobState.SUCCEEDED, None, 1)


async def test_a_workflows_fault_is_never_tried_again(world: World) -> None:
    tenant, node, other = world.tenant(), await world.node(), await world.node()
    job_id = await world.job(tenant, images=3)
    given = await node.claim()
    assert await node.finish(given.ref, Outcome.FAILED)
    job = await world.read(tenant, job_id)
    assert (job.state, job.error, job.images) == (JobState.FAILED, BROKEN, 0)
    assert await world.images(tenant) == 0
    assert await other.ask() is None
    assert await world.causes(tenant, job_id) == ["submitted", "claimed", "failed"]


async def test_a_node_says_that_it_was_cancelled_though_nobody_asked(world: World) -> None:
    tenant, node = world.tenant(), await world.node()
    job_id = await world.job(tenant)
    given = await node.claim()
    assert await node.finish(given.ref, Outcome.CANCELLED)
    assert (await world.read(tenant, job_id)).state is JobState.QUEUED
    again = await node.claim()
    assert await node.finish(again.ref)


async def test_the_node_classes_of_all_nodes_are_told_with_all_their_options(world: World) -> None:
    await world.node(COMMON)
    await world.node(COMMON, RARE)
    await world.until_offered(RARE)
    page = await world.system.bus.request(READ_CLASSES, ReadClasses())
    names = ["CheckpointLoaderSimple", "Draw", "EmptyLatentImage", "Guess", "SaveImage", "SaveText"]
    assert [found.name for found in page.classes] == names
    assert {COMMON, RARE} <= set(page.classes[0].spec.inputs["ckpt_name"].options or ())
    assert not page.more
    one = await world.system.bus.request(READ_CLASSES, ReadClasses(name="Draw", limit=1))
    assert [found.spec.outputs for found in one.classes] == [("IMAGE",)]


async def test_of_equally_common_models_the_one_that_a_node_has_loaded_comes_first(world: World) -> None:
    loader, first, second = "CheckpointLoaderSimple.ckpt_name", "only-here-1.safetensors", "only-here-2.safetensors"
    node = await world.node(COMMON, first, second)
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


async def test_what_a_job_was_submitted_with_stays_with_it(world: World) -> None:
    tenant, node = world.tenant(), await world.node()
    uploads = (uuid4(), uuid4())
    command = SubmitJob(
        job_id=new_id(),
        graph=graph(),
        inputs=uploads,
        model="m.safetensors",
        seed=2**64 - 1,
        request_hash="0" * 64,
    )
    await world.system.bus.request(SUBMIT_JOB, command, tenant=str(tenant))
    job = await world.read(tenant, command.job_id)
    assert (job.model, job.seed) == ("m.safetensors", 2**64 - 1)
    given = await node.claim()
    assert given.inputs == uploads
    assert await node.ask() == given  # also where the same attempt is given again
    assert await node.finish(given.ref)
