"""A claim reads a bounded number of rows however long the queue is; the right one of several waiting nodes is woken."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest

from chassis.database.postgres import Database
from chassis.database.statement import Connection
from chassis.ids import new_id
from chassis.telemetry.metrics import Metrics
from contracts.scheduler.attempts import RequestWork
from contracts.scheduler.nodes import NodeAction
from scheduler.domain.placement import Warmth
from scheduler.store import claims, jobs
from scheduler.usecases.class_rule_cache import ClassRuleCache
from scheduler.usecases.dispatch_jobs import JobDispatcher
from scheduler.usecases.fleet_state import FleetState
from scheduler.usecases.job_metrics import JobMetrics
from scheduler.usecases.loaded_models import LoadedModels
from scheduler.usecases.publish_job_events import JobEventPublisher
from scheduler.usecases.run_time_history import RunTimeHistory
from scheduler.usecases.tenant_limits import TenantLimits
from scheduler.usecases.tenant_policies import TenantPolicies
from tests.integration.scheduler.conftest import COMMON, RARE, Node, World, bus_as, run_system
from tests.integration.scheduler.operator import Operator
from tests.kit.postgres import PostgresServer
from tests.kit.waiting import until

TENANTS, JOBS_EACH = 60, 50
WAIT_S = 20.0
NODE = "node-1"
HERE, ELSEWHERE, ALSO_ELSEWHERE = 1, 2, 3  # ids of requirements; the node meets only the first
MAKE_JOBS = """
INSERT INTO jobs (id, tenant_id, state, priority, workflow, labels, requirement_id, images, usage_day, seq,
    request_hash, on_hold, start_by, avoid_node, avoid_until)
SELECT lpad(to_hex($1 * 100000 + n), 32, '0')::uuid, $2, 'queued', $3, 'w', '{}', $4, 1, now()::date, 1, 'h', $5,
    now() - interval '1 minute', $6, now() + interval '1 hour'
FROM generate_series(1, $7) n
"""


@dataclass
class CountingConnection:
    """Runs statements, and counts the rows that they read by table."""

    sql: asyncpg.Connection
    read: Counter[str] = field(default_factory=Counter)

    async def fetch(self, statement: str, *values: Any) -> list[asyncpg.Record]:
        (text,) = await self.sql.fetchrow(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", *values)
        self._count(orjson.loads(text)[0]["Plan"])
        found: list[asyncpg.Record] = await self.sql.fetch(statement, *values)
        return found

    async def fetchrow(self, statement: str, *values: Any) -> asyncpg.Record | None:
        return next(iter(await self.fetch(statement, *values)), None)

    def _count(self, node: dict[str, Any]) -> None:
        removed = sum(value for name, value in node.items() if name.startswith("Rows Removed by"))
        if "Relation Name" in node:
            self.read[node["Relation Name"]] += round((node["Actual Rows"] + removed) * node["Actual Loops"])
        for child in node.get("Plans", ()):
            self._count(child)


@dataclass
class Queue:
    """A scheduler's database, to which a test writes jobs directly."""

    sql: asyncpg.Connection
    made: int = 0

    async def add_tenant(self, number: int, **columns: object) -> UUID:
        tenant = UUID(int=number)
        values = {"id": tenant, "tier": "pro", "is_active": True, "weight": 1, "vtime": number} | columns
        names, places = ", ".join(values), ", ".join(f"${place + 1}" for place in range(len(values)))
        await self.sql.execute(f"INSERT INTO tenants ({names}) VALUES ({places})", *values.values())  # noqa: S608
        return tenant

    async def add_jobs(
        self,
        tenant: UUID,
        requirement: int,
        *,
        count: int = JOBS_EACH,
        priority: int = 0,
        on_hold: bool = False,
        avoid_node: str | None = None,
    ) -> None:
        self.made += 1
        values = (self.made, tenant, priority, requirement, on_hold, avoid_node, count)
        await self.sql.execute(MAKE_JOBS, *values)
        await self.sql.execute("INSERT INTO graphs SELECT id, '{}' FROM jobs ON CONFLICT DO NOTHING")
        if not on_hold:
            await self.sql.execute("UPDATE tenants SET queued = queued + $2 WHERE id = $1", tenant, count)

    async def clear(self) -> None:
        await self.sql.execute("TRUNCATE tenants, jobs, waiting_requirements CASCADE")

    async def select(self, runnable: Sequence[int] = (HERE,)) -> tuple[tuple[UUID, int] | None, Counter[str]]:
        """Select a job as a claim does; return its tenant and priority, and the rows read by table."""
        connection: Any = CountingConnection(self.sql)
        async with self.sql.transaction():
            tenants = await claims.find_tenants_with_jobs(connection, runnable, node=NODE)
            tenant = await claims.lock_next_tenant(connection, tenants) if tenants else None
            found = await claims.lock_first_job(connection, tenant, runnable, node=NODE) if tenant else None
        if found is None:
            return None, connection.read
        priority = await self.sql.fetchval("SELECT priority FROM jobs WHERE id = $1", found.job.id)
        return (found.job.tenant_id, priority), connection.read


async def fill_unrunnable_tenants(queue: Queue) -> UUID:
    """Only the last of many tenants has a job for the node."""
    for number in range(1, TENANTS):
        await queue.add_jobs(await queue.add_tenant(number), ELSEWHERE)
    last = await queue.add_tenant(TENANTS)
    await queue.add_jobs(last, HERE, count=1)
    return last


async def fill_tenants_at_their_limit(queue: Queue) -> UUID:
    for number in range(1, TENANTS):
        await queue.add_jobs(await queue.add_tenant(number, max_running=1, running=1), HERE)
    last = await queue.add_tenant(TENANTS)
    await queue.add_jobs(last, HERE, count=1)
    return last


async def fill_low_priority_behind_jobs_for_others(queue: Queue) -> UUID:
    tenant = await queue.add_tenant(1)
    for requirement in (ELSEWHERE, ALSO_ELSEWHERE):
        await queue.add_jobs(tenant, requirement, count=1000, priority=10)
    await queue.add_jobs(tenant, HERE, priority=-10)
    return tenant


async def fill_jobs_on_hold(queue: Queue) -> UUID:
    tenant = await queue.add_tenant(1)
    await queue.add_jobs(tenant, HERE, count=1000, priority=10, on_hold=True)
    await queue.add_jobs(tenant, HERE, priority=-10)
    return tenant


async def fill_half_runnable(queue: Queue) -> UUID:
    """The first tenants, more than a claim reads at first, have no job for the node; the last 20 have."""
    for number in range(1, TENANTS):
        await queue.add_jobs(await queue.add_tenant(number), ELSEWHERE if number < TENANTS - 20 else HERE, priority=-10)
    return UUID(int=TENANTS - 20)


async def fill_many_requirements(queue: Queue) -> UUID:
    tenant = await queue.add_tenant(1)
    for requirement in range(100):
        await queue.add_jobs(tenant, requirement, priority=requirement)
    return tenant


async def fill_unrunnable_jobs_before_many_requirements(queue: Queue) -> UUID:
    """The tenant's first jobs, more than a claim reads at first, are not for the node."""
    tenant = await queue.add_tenant(1)
    await queue.add_jobs(tenant, ELSEWHERE, count=1000, priority=10)
    for requirement in range(4, 100):
        await queue.add_jobs(tenant, requirement)
    await queue.add_jobs(tenant, HERE, priority=5)
    return tenant


ARRANGEMENTS = {
    fill_unrunnable_tenants: (0, 3),
    fill_tenants_at_their_limit: (0, 3),
    fill_low_priority_behind_jobs_for_others: (-10, 3 + claims.FIRST_JOBS),
    fill_jobs_on_hold: (-10, 3),
    fill_half_runnable: (-10, 3 + claims.MAX_CANDIDATES),
    fill_many_requirements: (HERE, 3 + claims.FIRST_JOBS),
    fill_unrunnable_jobs_before_many_requirements: (5, 3 + claims.FIRST_JOBS),
}
"""By arrangement: priority of the job that is selected, and maximum number of rows read from ``jobs``."""


@pytest.fixture(scope="module")
async def empty_database(postgres_server: PostgresServer) -> AsyncIterator[Queue]:
    """A separate scheduler's database with a hundred requirements and no jobs."""
    url = await postgres_server.create_database("scheduler")
    sql = await asyncpg.connect(url.replace("+asyncpg", ""))
    await sql.execute("INSERT INTO requirements (id, digest, needs) SELECT n, n, '{}' FROM generate_series(0, 99) n")
    await sql.execute("SET enable_seqscan = off")  # PostgreSQL would prefer them for such small tables
    try:
        yield Queue(sql)
    finally:
        await sql.close()


@pytest.fixture
async def queue(empty_database: Queue) -> Queue:
    await empty_database.clear()
    return empty_database


@pytest.mark.requirement("table scheduler.waiting_requirements")
async def test_claim_reads_few_jobs_and_each_tenant_at_most_once_in_any_order_of_the_queue(queue: Queue) -> None:
    for fill, (priority, most_jobs) in ARRANGEMENTS.items():
        await queue.clear()
        tenant = await fill(queue)
        for statement in ("SELECT 1", "ANALYZE"):  # the result must not depend on PostgreSQL's statistics
            await queue.sql.execute(statement)
            found, read = await queue.select()
            assert found == (tenant, priority), fill
            assert read["jobs"] <= most_jobs, (fill, read)
            assert read["tenants"] <= 4 * TENANTS, (fill, read)
            assert read["waiting_requirements"] <= 4 * TENANTS, (fill, read)
        found, read = await queue.select((1000,))
        assert found is None
        assert not read["jobs"], (fill, read)


async def test_warm_job_search_reads_a_bounded_number_of_rows(queue: Queue) -> None:
    connection: Any = CountingConnection(queue.sql)
    await fill_many_requirements(queue)
    warmth = {number: Warmth.WARM if number < HERE + 1 else Warmth.COLD for number in range(100)}
    async with queue.sql.transaction():
        tenant, firsts = await claims.lock_next_tenant_and_list_jobs(connection, [UUID(int=1)], warmth, node=NODE)
    assert tenant is not None
    assert [(job.warmth, job.priority) for job in firsts] == [(Warmth.COLD, 99), (Warmth.WARM, HERE)]
    assert connection.read["jobs"] <= claims.FIRST_RUNNABLE + 2

    await queue.clear()
    for number in range(1, TENANTS + 1):
        tenant_id = await queue.add_tenant(number)
        await queue.add_jobs(tenant_id, ELSEWHERE, priority=number % 2)
        await queue.add_jobs(tenant_id, HERE)
    connection.read.clear()
    found = await claims.list_tenants_with_warm_jobs(connection, [HERE], node=NODE, until=TENANTS)
    assert [
        (one.fair_share.id.int, one.first_priority) for one in sorted(found, key=lambda one: one.fair_share.id)
    ] == [(number, number % 2) for number in range(1, claims.FIRST_TENANTS + 1)]
    assert connection.read["jobs"] <= 2 * claims.FIRST_TENANTS
    assert connection.read["tenants"] <= TENANTS


async def test_claim_skips_jobs_that_must_avoid_the_node(queue: Queue) -> None:
    first, second = await queue.add_tenant(1), await queue.add_tenant(2)
    await queue.add_jobs(first, HERE, count=3, avoid_node=NODE)
    await queue.add_jobs(second, HERE, count=3, priority=5, avoid_node=NODE)
    assert (await queue.select())[0] is None
    await queue.add_jobs(second, HERE, count=1)
    assert (await queue.select())[0] == (second, 0)


@pytest.mark.parametrize(("place", "most"), [(1, 10), (700, 900), (2500, 2210), (4999, 210)])
async def test_position_among_own_jobs_is_exact_near_the_ends_of_the_queue_and_an_estimate_between(
    queue: Queue, place: int, most: int
) -> None:
    tenant = await queue.add_tenant(1)
    for priority in (10, 5, 0):
        await queue.add_jobs(tenant, HERE, count=5000 // 3 + (priority == 0), priority=priority)
    await queue.sql.execute("ANALYZE")
    job_id = await queue.sql.fetchval("SELECT id FROM jobs ORDER BY priority DESC, id OFFSET $1 LIMIT 1", place - 1)
    connection: Any = CountingConnection(queue.sql)
    found = await jobs.find_job(connection, tenant, job_id)
    assert found is not None
    assert found.queue_position == (place if place != 2500 else pytest.approx(2500, rel=0.1))
    assert connection.read["jobs"] <= most


async def test_job_is_given_to_the_waiting_node_that_can_run_it(world: World) -> None:
    tenant = world.add_tenant()
    common, rare = [await world.add_node() for _ in range(3)], await world.add_node(COMMON, RARE)
    await world.until_offered(RARE)
    waiting = {node.name: asyncio.create_task(node.claim_attempt()) for node in (*common, rare)}
    job_id = await world.submit_job(tenant, model=RARE)
    given = await waiting[rare.name]
    assert given.ref.job_id == job_id
    others = {await world.submit_job(tenant) for _ in common}
    assert {(await waiting[node.name]).ref.job_id for node in common} == others
    for node in (*common, rare):
        assert await node.finish((await waiting[node.name]).ref)


async def test_cordoned_node_passes_its_job_to_the_next_waiting_node(world: World) -> None:
    tenant, first, second = world.add_tenant(), await world.add_node(), await world.add_node()
    cordoned, waiting = await first.start_waiting(wait_s=5), await second.start_waiting()
    await Operator(world.system.bus).node(first.name, NodeAction.CORDON)
    job_id = await world.submit_job(tenant)
    given = await waiting
    assert given is not None
    assert given.ref.job_id == job_id
    assert await cordoned is None
    assert await second.finish(given.ref)


async def test_waiting_node_gets_a_job_for_a_model_that_it_has_since(world: World) -> None:
    tenant, node, other = world.add_tenant(), await world.add_node(), await world.add_node(RARE)
    await world.until_offered(RARE)
    job_id = await world.submit_job(tenant, model=RARE)
    waiting = asyncio.create_task(node.claim_attempt())
    await node.change_models(COMMON, RARE)
    given = await waiting
    assert given.ref.job_id == job_id
    assert await node.finish(given.ref)
    assert await other.request_work() is None


class InterruptedHistory(RunTimeHistory):
    """Calls ``interrupt`` once when the run times are refreshed, the first step of a pass of the wake loop."""

    interrupt: Callable[[], Awaitable[None]] | None = None

    async def refresh_history(self, connection: Connection) -> None:
        await super().refresh_history(connection)
        if self.interrupt is not None:
            interrupt, self.interrupt = self.interrupt, None
            await interrupt()


async def test_waiting_node_is_woken_for_a_new_requirement_that_is_announced_during_a_pass_of_the_wake_loop(
    world: World,
) -> None:
    model = f"{new_id()}.safetensors"
    tenant, node = world.add_tenant(), await world.add_node(COMMON, model)
    await world.until_offered(model)
    bus, database = bus_as(world.system.nats_url, "scheduler"), Database(world.system.database_url, name="scheduler")
    metrics, history = JobMetrics(Metrics("scheduler")), InterruptedHistory()
    fleet = FleetState(database, offline_after_s=60, forget_after_s=3600, catalog_grace_s=0)
    dispatcher = JobDispatcher(
        database,
        fleet,
        JobEventPublisher(bus, metrics),
        metrics,
        policies=TenantPolicies(limits=TenantLimits(database, bus, fresh_s=60), rules=ClassRuleCache(database, bus)),
        loaded=LoadedModels(forget_after_s=60),
        history=history,
        lease_s=60,
        frames_per_image=1,
        node_attempts=2,
        warm_bound_s=0,
    )
    announced: list[UUID] = []

    async def announce_job() -> None:
        announced.append(await world.submit_job(tenant, model=model))
        sql = "SELECT requirement_id FROM jobs WHERE id = $1"
        fleet.mark_requirements_stale()
        dispatcher.announce_jobs([await world.system.sql.fetchval(sql, announced[0])])

    await bus.start()
    try:
        request = RequestWork(boot_id=node.boot_id, wait_s=WAIT_S)
        waiting = asyncio.create_task(dispatcher.lease_attempt(node.name, request))
        await until(lambda: dispatcher.has_waiting_nodes)
        await dispatcher._wake_requests()  # the first pass wakes all nodes
        await until(lambda: dispatcher.has_waiting_nodes)
        history.interrupt = announce_job
        await dispatcher._wake_requests()
        assignment = (await waiting).assignment
        assert assignment is not None
        assert [assignment.ref.job_id] == announced
    finally:
        dispatcher.close()
        await waiting
        await bus.stop()
        await database.close()
    assert await node.finish(assignment.ref)


async def test_nodes_that_wait_at_two_schedulers_run_each_job_once(world: World) -> None:
    tenants = [world.add_tenant(max_running=1), world.add_tenant()]
    nodes = [await world.add_node(*models) for models in [(COMMON,), (RARE,), (COMMON, RARE)] * 2]
    await world.until_offered(RARE)
    made, run = set[UUID](), list[UUID]()

    async def work(node: Node) -> None:
        while len(run) < JOBS_EACH:
            given = await node.request_work(wait_s=1)
            if given is not None:
                run.append(given.ref.job_id)
                assert await node.finish(given.ref)

    async with (
        run_system(world.system.nats_url, world.system.database_url, lease_s=60) as other,
        asyncio.TaskGroup() as tasks,
    ):
        other.auth.limits = world.system.auth.limits
        for node in nodes:
            tasks.create_task(work(node))
        for number in range(JOBS_EACH):
            made.add(await world.submit_job(tenants[number % 2], model=(COMMON, RARE, RARE)[number % 3]))
    assert sorted(run) == sorted(made)
