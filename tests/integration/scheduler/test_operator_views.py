"""What operators see: jobs of all tenants, statistics and daily usage."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from contracts.scheduler.attempts import Outcome
from contracts.scheduler.heartbeats import Gpu, NodeSystem, OccupancyCause, ReportedOccupancy
from contracts.scheduler.job_actions import JobAction
from contracts.scheduler.jobs import LIST_JOBS, JobState, ListJobs
from contracts.scheduler.nodes import NodeAction, NodeState
from contracts.scheduler.queue import QueueOrder
from contracts.scheduler.usage import EndpointUsage
from contracts.scheduler.waiting import WaitReason
from contracts.wire.errors import RelayedRefusal
from tests.integration.scheduler.conftest import COMMON, SUBMIT_ENDPOINT, World
from tests.integration.scheduler.operator import Operator
from tests.kit.waiting import until


@pytest.fixture
def operator(world: World) -> Operator:
    return Operator(world.system.bus)


async def test_operators_find_jobs_by_tenant_state_node_workflow_and_time(world: World, operator: Operator) -> None:
    ada, bob, node, other = world.add_tenant(), world.add_tenant(), await world.add_node(), await world.add_node()
    failed, made = await world.submit_job(ada), await world.submit_job(ada, workflow="portrait")
    given = await node.claim_attempt()
    assert await node.finish(given.ref, Outcome.FAILED)
    given = await other.claim_attempt()
    assert await other.finish(given.ref)
    waiting = await world.submit_job(bob)
    held = await world.submit_job(bob)
    await operator.job(held, JobAction.HOLD)
    everything = [held, waiting, made, failed]
    assert (await operator.found())[:4] == everything
    assert await operator.found(tenant_id=ada) == [made, failed]
    assert await operator.found(tenant_id=ada, states=(JobState.FAILED, JobState.EXPIRED)) == [failed]
    assert (await operator.found(states=(JobState.QUEUED,)))[:2] == [held, waiting]
    assert await operator.found(node=other.name) == [made]
    assert await operator.found(tenant_id=ada, workflow="portrait") == [made]
    since = (await world.read_job(ada, made)).created_at
    assert await operator.found(tenant_id=ada, created_after=since) == [made]
    assert await operator.found(tenant_id=ada, created_before=since) == [failed]
    assert await operator.found(tenant_id=uuid4()) == []
    page = await operator.search(limit=2)
    assert page.more
    assert [(seen.job.job_id, seen.job.held, seen.node) for seen in page.jobs] == [
        (held, True, None),
        (waiting, False, None),
    ]
    assert (await operator.found(limit=2, before=waiting)) == [made, failed]
    assert (await operator.search(node=node.name)).jobs[0].node == node.name
    with pytest.raises(RelayedRefusal) as relayed:
        await operator.inspect(uuid4())
    assert relayed.value.details.code == "job.not_found"


@pytest.mark.requirement("F-160", "job.filter-time")
async def test_jobs_are_filtered_by_creation_time_despite_clock_skew_in_their_ids(world: World) -> None:
    tenant, other = world.add_tenant(), world.add_tenant()
    await world.add_node()
    jobs = [await world.submit_job(tenant) for _ in range(3)]
    await world.submit_job(other)
    moments = [(await world.read_job(tenant, job)).created_at for job in jobs]

    async def listed(**query: object) -> list[object]:
        page = await world.system.bus.request(LIST_JOBS, ListJobs.model_validate(query), tenant=str(tenant))
        return [job.job_id for job in page.jobs]

    assert await listed(created_after=moments[1]) == [jobs[2], jobs[1]]
    assert await listed(created_before=moments[1]) == [jobs[0]]
    assert await listed(created_after=moments[1], created_before=moments[2]) == [jobs[1]]
    assert await listed(created_after=moments[0], before=jobs[2], limit=1) == [jobs[1]]
    skewed = await world.submit_job(tenant, job_id=_id_made(moments[2] + timedelta(minutes=30)))
    accepted = (await world.read_job(tenant, skewed)).created_at
    assert await listed(created_before=accepted + timedelta(seconds=1), limit=1) == [skewed]
    assert await listed(created_after=datetime(1970, 1, 1, tzinfo=UTC)) == [skewed, *reversed(jobs)]
    assert await listed(created_after=datetime(9999, 1, 1, tzinfo=UTC)) == []


async def test_jobs_are_filtered_by_state_workflow_and_label_in_pages(world: World) -> None:
    tenant = world.add_tenant()
    node = await world.add_node()
    given = await world.submit_job(tenant, workflow="portrait", labels={"campaign": "autumn", "n": "1"})
    waiting = await world.submit_job(tenant, labels={"campaign": "spring"})
    last = await world.submit_job(tenant, workflow="portrait", labels={"n": "1"})
    claimed = await node.claim_attempt()
    assert claimed.ref.job_id == given

    async def listed(**query: object) -> tuple[list[object], bool]:
        page = await world.system.bus.request(LIST_JOBS, ListJobs.model_validate(query), tenant=str(tenant))
        return [job.job_id for job in page.jobs], page.more

    assert await listed(states=(JobState.QUEUED,)) == ([last, waiting], False)
    assert await listed(states=(JobState.LEASED, JobState.RUNNING)) == ([given], False)
    assert await listed(workflow="portrait") == ([last, given], False)
    assert await listed(label=("n", "1")) == ([last, given], False)
    assert await listed(label=("campaign", "spring")) == ([waiting], False)
    assert await listed(label=("n", "autumn")) == ([], False)
    assert await listed(workflow="portrait", label=("campaign", "autumn"), states=(JobState.LEASED,)) == (
        [given],
        False,
    )
    assert await listed(limit=2) == ([last, waiting], True)
    assert await listed(limit=2, before=waiting) == ([given], False)
    assert await listed(limit=3) == ([last, waiting, given], False)
    assert await node.finish(claimed.ref)
    assert await listed(states=(JobState.SUCCEEDED,)) == ([given], False)


@pytest.mark.requirement("table scheduler.usage_days")
async def test_duplicate_reports_are_counted_once_in_usage(world: World, operator: Operator) -> None:
    ada, bob, node = world.add_tenant(), world.add_tenant(), await world.add_node()
    before = {day.day: day for day in await operator.usage(None)}
    for tenant, images, spent in ((ada, 3, 1.25), (ada, 2, 0.5), (bob, 1, 4.0)):
        await world.submit_job(tenant, images=images)
        given = await node.claim_attempt()
        reports = (node.finish(given.ref, images=images, gpu_seconds=spent) for _ in range(6))
        assert sorted(await asyncio.gather(*reports)) == [False] * 5 + [True]
    await world.submit_job(ada, images=4)
    given = await node.claim_attempt()
    assert await node.finish(
        given.ref, Outcome.NODE_FAULT, gpu_seconds=2.0
    )  # GPU-seconds of a node fault count as well
    given = await node.claim_attempt()
    assert await node.finish(given.ref, Outcome.FAILED, gpu_seconds=0.25)
    (day,) = await operator.usage(ada)
    assert (day.jobs, day.images, day.gpu_seconds) == (3, 5, 4.0)
    assert day.endpoints == {SUBMIT_ENDPOINT: EndpointUsage(images=5, gpu_seconds=4.0)}
    (day,) = await operator.usage(bob)
    assert (day.jobs, day.images, day.gpu_seconds) == (1, 1, 4.0)
    everybody = {day.day: day for day in await operator.usage(None)}
    was = before.get(day.day)
    assert everybody[day.day].jobs - (was.jobs if was else 0) == 4
    assert everybody[day.day].images - (was.images if was else 0) == 6


@pytest.mark.requirement("table scheduler.usage_endpoints")
async def test_usage_is_broken_down_by_endpoint(world: World, operator: Operator) -> None:
    tenant, node = world.add_tenant(), await world.add_node()
    jobs = {name: await world.submit_job(tenant, images=2, endpoint=name) for name in ("POST /a", "POST /b", None)}
    for spent in (1.0, 0.5, 8.0):
        assert await node.finish((await node.claim_attempt()).ref, images=2, gpu_seconds=spent)
    waiting, failed = [await world.submit_job(tenant, images=4, endpoint="POST /a") for _ in range(2)]
    await world.cancel(tenant, waiting)
    assert await node.finish((await node.claim_attempt()).ref, Outcome.FAILED, gpu_seconds=0.25)
    (day,) = await operator.usage(tenant)
    shares = {"POST /a": EndpointUsage(images=2, gpu_seconds=1.25), "POST /b": EndpointUsage(images=2, gpu_seconds=0.5)}
    assert (day.jobs, day.images, day.gpu_seconds, day.endpoints) == (5, 6, 9.75, shares)
    again = await operator.job(failed, JobAction.REQUEUE)  # the retry counts towards the endpoint of the original job
    assert await node.finish((await node.claim_attempt()).ref, images=4, gpu_seconds=1.0)
    (day,) = await operator.usage(tenant)
    assert day.endpoints["POST /a"] == EndpointUsage(images=6, gpu_seconds=2.25)
    assert again.job_id not in jobs.values()


async def test_usage_covers_ninety_days(world: World, operator: Operator) -> None:
    tenant = world.add_tenant()
    await world.add_node()
    await world.cancel(tenant, await world.submit_job(tenant))
    days = "SELECT day FROM usage_days WHERE tenant_id = $1"
    (today,) = [row["day"] for row in await world.system.sql.fetch(days, tenant)]
    add = "INSERT INTO usage_days (tenant_id, day, images, jobs) VALUES ($1, $2, 0, 0)"
    for ago in (1, 89, 90, 400):
        await world.system.sql.execute(add, tenant, today - timedelta(days=ago))
    assert [(today - day.day).days for day in await operator.usage(tenant)] == [0, 1, 89]
    assert [(today - day.day).days for day in await operator.usage(tenant, days=2)] == [0, 1]


async def test_statistics_count_queue_nodes_throughput_and_failures(world: World, operator: Operator) -> None:
    tenant, node = world.add_tenant(), await world.add_node()

    async def pro() -> tuple[int, int, int, float | None]:
        (found,) = [queue for queue in (await operator.stats()).queue if queue.tier == "pro"]
        return found.waiting, found.held, found.running, found.oldest_wait_s

    before = await operator.read_new_stats()
    low = await world.submit_job(tenant, priority=-5)
    jobs = [await world.submit_job(tenant, priority=5) for _ in range(3)]
    held = await world.submit_job(tenant)
    await operator.job(held, JobAction.HOLD)
    await world.system.sql.execute("UPDATE jobs SET created_at = created_at - interval '1 hour' WHERE id = $1", low)

    async def waits() -> bool:
        return (await pro())[:3] == (4, 1, 0)

    await until(waits)
    oldest = (await pro())[3]
    assert oldest is not None
    assert oldest > 3600  # the job with low priority is the oldest, though others run first
    given = await node.claim_attempt()
    assert given.ref.job_id == jobs[0]

    async def runs() -> bool:
        return (await pro())[:3] == (3, 1, 1)

    await until(runs)
    assert (await operator.stats()).nodes.working == 1
    assert await node.finish(given.ref, images=1)
    given = await node.claim_attempt()
    assert await node.finish(given.ref, Outcome.FAILED)

    async def counted() -> bool:
        found = await operator.stats()
        ended = [now.jobs - was.jobs for now, was in zip(found.throughput, before.throughput, strict=True)]
        made = [now.images - was.images for now, was in zip(found.throughput, before.throughput, strict=True)]
        failed = found.failures.get("node.error", 0) - before.failures.get("node.error", 0)
        return ended[2] == 2 and made[2] == 1 and failed == 1

    await until(counted)
    stats = await operator.stats()
    assert [window.minutes for window in stats.throughput] == [1, 5, 60]
    assert stats.waits.p50_s is not None
    assert stats.waits.p95_s is not None
    assert 0 <= stats.waits.p50_s <= stats.waits.p95_s
    assert [queue.tier for queue in stats.queue] == ["free", "basic", "pro", "enterprise"]
    assert stats.nodes.total >= stats.nodes.online >= 1


def _id_made(moment: datetime) -> UUID:
    return UUID(int=(int(moment.timestamp() * 1000) << 80) | (7 << 76) | (2 << 62) | uuid4().int % (1 << 61))


@pytest.mark.requirement("operator.fleet")
async def test_operators_see_what_a_node_runs_and_its_last_faults(world: World, operator: Operator) -> None:
    tenant, node = world.add_tenant(), await world.add_node()
    await world.until_offered(COMMON)
    gpu = Gpu(name="NVIDIA H200", memory_total_bytes=150_000_000_000, memory_free_bytes=90_000_000_000)
    system = NodeSystem(executor_version="1.2.3", comfyui_version="0.33.0", gpus=(gpu,))
    failed = await world.submit_job(tenant)
    given = await node.claim_attempt()
    assert await node.finish(given.ref, Outcome.FAILED)
    await world.submit_job(tenant, workflow="portrait")
    given = await node.claim_attempt()
    loaded = ("CheckpointLoaderSimple.ckpt_name=common.safetensors",)
    await node.send_heartbeat(given.ref, 40.0, system=system, loaded=loaded, graph_node="3", graph_node_class="Draw")
    seen = (await operator.nodes())[node.name]
    assert (seen.state, seen.state_since, seen.system, seen.models) == (NodeState.BUSY, seen.leased_at, system, loaded)
    assert seen.running is not None
    assert (seen.running.job_id, seen.running.tenant_id) == (given.ref.job_id, tenant)
    assert (seen.running.workflow, seen.running.progress, seen.running.started_at) == ("portrait", 40.0, seen.leased_at)
    assert (seen.running.graph_node, seen.running.graph_node_class) == ("3", "Draw")
    draining = await operator.node(node.name, NodeAction.DRAIN, grace_s=600)
    assert draining is not None
    assert (draining.state, draining.state_since) == (NodeState.DRAINING, draining.cordoned_at)
    assert await node.finish(given.ref)
    assert (await operator.nodes())[node.name].state is NodeState.CORDONED
    await operator.node(node.name, NodeAction.UNCORDON)
    idle = (await operator.nodes())[node.name]
    assert (idle.state, idle.running) == (NodeState.IDLE, None)
    foreign = ReportedOccupancy(by=OccupancyCause.FOREIGN_PROMPT, prompt_id="p", seconds=5, blocked=False)
    await node.send_heartbeat(foreign_prompts=1, occupied=foreign)
    assert (await operator.nodes())[node.name].state is NodeState.OCCUPIED
    await node.send_heartbeat(online=False)
    offline = (await operator.nodes())[node.name]
    assert (offline.state, offline.models) == (NodeState.OFFLINE, ())

    async def is_counted() -> bool:  # jobs and faults are cached for 10 s
        found = (await operator.nodes())[node.name]
        return found.jobs_last_hour == 1 and len(found.faults) == 1

    await until(is_counted, within_s=30)
    (fault,) = (await operator.nodes())[node.name].faults
    assert (fault.job_id, fault.outcome, fault.code, fault.node_died) == (failed, "failed", "node.error", False)


@pytest.mark.requirement("operator.queue")
async def test_operators_see_tenants_in_fair_order_and_why_each_waits(world: World, operator: Operator) -> None:
    await world.system.sql.execute("DELETE FROM nodes")
    node = await world.add_node()
    await world.until_offered(COMMON)
    first, second, full, held = (
        world.add_tenant(),
        world.add_tenant(),
        world.add_tenant(max_running=1),
        world.add_tenant(),
    )
    running = await world.submit_job(full)
    given = await node.claim_attempt()
    assert given.ref.job_id == running
    jobs = {
        first: [await world.submit_job(first) for _ in range(3)],
        second: [await world.submit_job(second, priority=priority) for priority in (0, 7)],
        full: [await world.submit_job(full)],
        held: [await world.submit_job(held)],
    }
    await operator.job(jobs[held][0], JobAction.HOLD)
    for tenant, vtime in ((first, 1000.0), (second, 2000.0)):
        await world.system.sql.execute("UPDATE tenants SET vtime = $2 WHERE id = $1", tenant, vtime)
    queue = await operator.queue(limit=100)
    found = {tenant.tenant_id: tenant for tenant in queue.tenants}
    mine = [tenant.tenant_id for tenant in queue.tenants if tenant.tenant_id in jobs]
    assert mine[:2] == [first, second]
    assert (found[first].queued, found[first].held, found[first].max_running) == (3, 0, None)
    place = found[first].position
    assert place is not None
    assert found[second].position == place + 1
    assert [found[full].position, found[held].position] == [None, None]
    assert [found[tenant].first_job_id for tenant in jobs] == [
        jobs[first][0], jobs[second][1], jobs[full][0], jobs[held][0],
    ]  # fmt: skip
    reasons = {tenant: waiting.reason for tenant in jobs if (waiting := found[tenant].waiting) is not None}
    assert reasons == {
        first: WaitReason.QUEUE,
        second: WaitReason.QUEUE,
        full: WaitReason.CONCURRENCY_LIMIT,
        held: WaitReason.HELD,
    }
    assert (found[full].running, found[full].max_running, found[held].queued, found[held].held) == (1, 1, 0, 1)
    assert (found[held].oldest_wait_s, found[first].tier) == (None, "pro")
    (pro,) = [tier for tier in queue.tiers if tier.tier == "pro"]
    assert (pro.waiting, pro.held, pro.running) == (6, 1, 1)
    (fullest,) = (await operator.queue(order=QueueOrder.QUEUED, limit=1)).tenants
    assert fullest.tenant_id == first
    only = await operator.queue(tenant_id=full)
    assert (only.found, [tenant.tenant_id for tenant in only.tenants]) == (1, [full])
    assert (await operator.queue(tier="free")).tenants == ()
    await node.finish(given.ref)
