"""The reason why a job waits changes with nodes, operators' actions and other jobs."""

from datetime import datetime
from uuid import UUID

import pytest

from contracts.catalog import ClassSpec, InputSpec
from contracts.scheduler.attempts import Outcome
from contracts.scheduler.fleet import READ_FLEET, ReadFleet
from contracts.scheduler.job_actions import JobAction
from contracts.scheduler.jobs import LIST_JOBS, Job, ListJobs
from contracts.scheduler.nodes import NodeAction
from contracts.scheduler.usage import QueueFull
from contracts.scheduler.waiting import HoldCause, MissingOption, Waiting, WaitingDetail, WaitReason
from contracts.wire.errors import RelayedRefusal
from tests.integration.scheduler.conftest import RARE, Node, World, report_of
from tests.integration.scheduler.operator import Operator
from tests.kit.waiting import until

DOTTED = "EmptyAceStep1.5LatentAudio"
AUDIO = {
    "1": {"class_type": DOTTED, "inputs": {"seconds": 2.0, "format": "a=1"}},
    "2": {"class_type": "SaveLatent", "inputs": {"samples": ["1", 0]}},
}
AUDIO_CLASSES = {
    DOTTED: ClassSpec(
        inputs={
            "seconds": InputSpec(type="FLOAT", required=True, min=1, max=1000),
            "format": InputSpec(type="COMBO", required=True, options=("a=1", "b.c")),
        },
        outputs=("LATENT",),
        output_node=False,
        module="comfy_extras.nodes_ace",
    ),
    "SaveLatent": ClassSpec(
        inputs={"samples": InputSpec(type="LATENT", required=True)}, outputs=(), output_node=True, module="nodes"
    ),
}


@pytest.fixture
async def world(world: World) -> World:
    """A world without nodes of other tests, which the scheduler's cache no longer contains either."""
    await world.system.sql.execute("DELETE FROM nodes")

    async def is_empty() -> bool:
        return not (await world.system.bus.request(READ_FLEET, ReadFleet())).nodes

    await until(is_empty)
    return world


async def waits_for(world: World, tenant: UUID, job_id: UUID, reason: WaitReason) -> Job:
    """Wait until the job waits for this reason, which can lag by a second of cached nodes; return it."""
    job = await world.read_job(tenant, job_id)

    async def does() -> bool:
        nonlocal job
        job = await world.read_job(tenant, job_id)
        return waiting_of(job).reason is reason

    await until(does)
    return job


def waiting_of(job: Job) -> Waiting:
    assert job.waiting is not None
    return job.waiting


async def moment(world: World, node: Node, column: str) -> datetime:
    found: datetime = await world.system.sql.fetchval(f"SELECT {column} FROM nodes WHERE name = $1", node.name)  # noqa: S608
    return found


async def test_waiting_reason_follows_nodes_that_come_and_go(world: World) -> None:
    able = await world.add_node(RARE)
    await world.until_offered(RARE)
    tenant = world.add_tenant()
    submitted = (await world.submit(tenant, model=RARE)).job
    job_id = submitted.job_id
    assert waiting_of(submitted).reason is WaitReason.QUEUE
    assert waiting_of(submitted).since == submitted.created_at

    await able.send_heartbeat(online=False)
    away = await waits_for(world, tenant, job_id, WaitReason.NO_NODE_ONLINE)
    went_at = await moment(world, able, "state_since")
    assert (waiting_of(away).since, waiting_of(away).detail) == (went_at, WaitingDetail(last_online_at=went_at))
    assert away.eta_seconds is None
    later = (await world.submit(tenant, model=RARE)).job
    assert waiting_of(later).reason is WaitReason.NO_NODE_ONLINE
    assert waiting_of(later).since == later.created_at

    other = await world.add_node()
    missing = waiting_of(await waits_for(world, tenant, job_id, WaitReason.MODEL_MISSING))
    lacks = MissingOption(node_class="CheckpointLoaderSimple", input="ckpt_name", value=RARE, nodes=(other.name,))
    assert missing.detail == WaitingDetail(nodes=(other.name,), missing=(lacks,))
    page = await world.system.bus.request(LIST_JOBS, ListJobs(), tenant=str(tenant))
    assert [waiting_of(job).reason for job in page.jobs] == [WaitReason.MODEL_MISSING] * 2

    await able.send_heartbeat()
    queued = waiting_of(await waits_for(world, tenant, job_id, WaitReason.QUEUE))
    assert queued.since == await moment(world, able, "state_since")
    claimed = await able.claim_attempt()
    assert claimed.ref.job_id == job_id
    assert (await world.read_job(tenant, job_id)).waiting is None
    await able.finish(claimed.ref)


async def test_job_with_a_dotted_class_name_runs_on_the_node_that_has_the_class(world: World) -> None:
    able = await world.add_node_with(report_of(AUDIO_CLASSES))
    tenant = world.add_tenant()

    async def is_known() -> bool:
        return DOTTED in (await world.system.bus.request(READ_FLEET, ReadFleet())).classes

    await until(is_known)
    job_id = await world.submit_job(tenant, graph=AUDIO)
    await able.send_heartbeat(online=False)
    other = await world.add_node()
    waiting = waiting_of(await waits_for(world, tenant, job_id, WaitReason.NO_NODE_HAS_CLASS))
    assert waiting.detail == WaitingDetail(classes=(DOTTED, "SaveLatent"), nodes=(other.name,))
    await able.send_heartbeat()
    claimed = await able.claim_attempt()
    assert claimed.ref.job_id == job_id
    await able.finish(claimed.ref)


async def test_job_waits_while_its_nodes_run_foreign_prompts(world: World) -> None:
    node, tenant = await world.add_node(), world.add_tenant()
    job_id = await world.submit_job(tenant)
    await node.send_heartbeat(foreign_prompts=2)
    job = await waits_for(world, tenant, job_id, WaitReason.NODE_BUSY_ELSEWHERE)
    since = await moment(world, node, "shared_since")
    assert (waiting_of(job).since, waiting_of(job).detail) == (since, WaitingDetail(nodes=(node.name,)))
    assert job.eta_seconds is None
    await node.send_heartbeat(foreign_prompts=1)
    assert await moment(world, node, "shared_since") == since
    await node.send_heartbeat()
    await waits_for(world, tenant, job_id, WaitReason.QUEUE)


async def test_job_is_held_while_its_nodes_are_cordoned_or_an_operator_holds_it(world: World) -> None:
    node, tenant, operator = await world.add_node(), world.add_tenant(), Operator(world.system.bus)
    job_id = await world.submit_job(tenant)
    await operator.node(node.name, NodeAction.CORDON)
    held = waiting_of(await waits_for(world, tenant, job_id, WaitReason.HELD))
    assert held.detail == WaitingDetail(cause=HoldCause.NODES_CORDONED, nodes=(node.name,))
    assert held.since == await moment(world, node, "cordoned_at")
    (seen,) = (await operator.search(tenant_id=tenant)).jobs
    assert waiting_of(seen.job) == held
    by_operator = await operator.job(job_id, JobAction.HOLD)
    assert waiting_of(by_operator).detail == WaitingDetail(cause=HoldCause.OPERATOR)
    assert waiting_of(by_operator).since == (await world.list_events(tenant, job_id))[-1].at
    await operator.node(node.name, NodeAction.UNCORDON)
    await operator.job(job_id, JobAction.RELEASE)
    await waits_for(world, tenant, job_id, WaitReason.QUEUE)


async def test_job_is_reported_as_held_until_the_node_that_failed_it_may_retry_it(world: World) -> None:
    first, second, tenant = await world.add_node(), await world.add_node(), world.add_tenant()
    job_id = await world.submit_job(tenant)
    claimed = await first.claim_attempt()
    await second.send_heartbeat(foreign_prompts=1)
    await first.finish(claimed.ref, Outcome.NODE_FAULT, node_died=True)
    waiting = waiting_of(await waits_for(world, tenant, job_id, WaitReason.HELD))
    until_ = await world.system.sql.fetchval("SELECT avoid_until FROM jobs WHERE id = $1", job_id)
    assert waiting.detail == WaitingDetail(cause=HoldCause.RETRY, until=until_, nodes=(second.name,))


async def test_waiting_reason_states_the_concurrency_limit_and_the_running_jobs(world: World) -> None:
    node, tenant = await world.add_node(), world.add_tenant(max_running=1)
    first, second, third = [await world.submit_job(tenant) for _ in range(3)]
    assert waiting_of(await world.read_job(tenant, third)).detail == WaitingDetail(jobs_ahead=2)
    claimed = await node.claim_attempt()
    assert claimed.ref.job_id == first
    waiting = waiting_of(await world.read_job(tenant, second))
    assert (waiting.reason, waiting.detail) == (WaitReason.CONCURRENCY_LIMIT, WaitingDetail(limit=1, running=1))
    assert waiting.since == await world.system.sql.fetchval("SELECT leased_at FROM attempts WHERE job_id = $1", first)
    await node.finish(claimed.ref)
    assert waiting_of(await world.read_job(tenant, second)).reason is WaitReason.QUEUE


async def test_full_queue_suggests_a_retry_time_only_while_a_node_is_online(world: World) -> None:
    node, tenant = await world.add_node(), world.add_tenant(queue_cap=1)
    job_id = await world.submit_job(tenant)
    with pytest.raises(RelayedRefusal) as refused:
        await world.submit_job(tenant)
    assert (refused.value.details.code, refused.value.details.retry_after_s) == (QueueFull.code, 5)
    await node.send_heartbeat(online=False)
    await waits_for(world, tenant, job_id, WaitReason.NO_NODE_ONLINE)
    with pytest.raises(RelayedRefusal) as refused:
        await world.submit_job(tenant)
    assert (refused.value.details.code, refused.value.details.retry_after_s) == (QueueFull.code, None)
