"""Measures how GPU time is shared between tenants of different weight, and how soon a new tenant's job starts.

    python -m tests.load.fair_shares [--nodes 8] [--jobs 12000] [--weights 1 2 4] [--shares 90 5 5] [--newcomers 5]

A real scheduler with PostgreSQL and NATS. This process acts as auth, gateway and executors: each executor starts a job,
prefetches the next one at once as real executors do, and reports the GPU-seconds of a job and of the load of its model
if the job before had another one. A job takes 5 to 15 GPU-seconds and a load 10 to 20, ``--speed`` times faster by the
clock; the bound of warm placement is shorter by as much.

All jobs are queued before the first executor comes, with models by Zipf's law. Printed, by the scheduler's own records:

* shares: GPU-seconds of the attempts (``attempts.gpu_seconds``) that started until the first tenant had no queued jobs
  left, and how far each tenant's share is from that by weight. Beside it the same by ``usage_days``, which are charged
  at the end of each attempt, until all those attempts had ended.
* newcomers: one job each of new tenants beside the jobs that are left, one after the other. A round is one started
  job for each node.
"""

import argparse
import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from uuid import UUID

import asyncpg

from chassis.ids import new_id
from contracts.scheduler.attempts import Assignment, Outcome, RequestWork
from contracts.wire.errors import Unavailable
from stack.ports import find_free_ports
from tests.integration.scheduler.conftest import Auth, Node, System, World, bus_as, catalog
from tests.kit.load_generator import running_module
from tests.kit.nats import NatsServer
from tests.kit.postgres import PostgresServer
from tests.kit.waiting import until

WAIT_S, RETRY_PAUSE_S = 5.0, 0.2
RUN_S, LOAD_S = (5.0, 15.0), (10.0, 20.0)
END_WITHIN_S = 600.0
COPY_JOBS = """
INSERT INTO jobs (id, tenant_id, state, priority, workflow, labels, requirement_id, images, usage_day, seq,
    request_hash, fingerprint, endpoint)
SELECT new.id, j.tenant_id, 'queued', j.priority, j.workflow, j.labels, j.requirement_id, j.images, j.usage_day, 1,
    j.request_hash, j.fingerprint, j.endpoint
FROM unnest($1::uuid[], $2::uuid[]) AS new (id, copied) JOIN jobs j ON j.id = new.copied
"""
COPY_GRAPHS = """
INSERT INTO graphs (job_id, graph)
SELECT new.id, g.graph FROM unnest($1::uuid[], $2::uuid[]) AS new (id, copied) JOIN graphs g ON g.job_id = new.copied
"""
COUNT_QUEUED = """
UPDATE tenants t SET queued = c.queued
FROM (SELECT tenant_id, count(*) AS queued FROM jobs WHERE state = 'queued' GROUP BY tenant_id) c
WHERE c.tenant_id = t.id
"""
FIRST_IS_EMPTY = "SELECT count(*) FROM tenants WHERE id = ANY($1) AND queued = 0"
EMPTY_SINCE = "SELECT max(leased_at) FROM attempts WHERE tenant_id = $1 AND NOT prefetched"
COUNT_LIVE = "SELECT count(*) FROM attempts WHERE leased_at <= $1 AND NOT prefetched AND ended_at IS NULL"
SHARES = """
SELECT tenant_id, sum(gpu_seconds) AS spent FROM attempts
WHERE leased_at <= $1 AND NOT prefetched AND gpu_seconds IS NOT NULL GROUP BY tenant_id
"""
CHARGED = "SELECT tenant_id, sum(gpu_seconds) AS spent FROM usage_days GROUP BY tenant_id"
STARTS_BEFORE = """
SELECT count(*) FROM attempts a, attempts mine, jobs j
WHERE mine.job_id = $1 AND j.id = $1 AND NOT a.prefetched
    AND a.leased_at > j.created_at AND a.leased_at < mine.leased_at
"""


@dataclass(eq=False)
class ScriptedExecutor:
    """Runs jobs on one node for as long as their GPU-seconds take at this speed.

    Attributes:
        models: of jobs by the graph's checkpoint.
    """

    node: Node
    speed: float
    load_s: Mapping[str, float]
    model: str | None = None
    loads: int = 0
    jobs: int = 0

    async def run(self) -> None:
        held: Assignment | None = None
        while True:
            try:
                given = held or await self.node.request_work(wait_s=WAIT_S)
                held = await self._run_job(given) if given is not None else None
            except Unavailable:
                held = None  # the scheduler assigns the same attempt again
                await asyncio.sleep(RETRY_PAUSE_S)

    async def _run_job(self, given: Assignment) -> Assignment | None:
        """Run a job; returns the next one."""
        model = str(given.graph["1"]["inputs"]["ckpt_name"])
        gpu_s = random.uniform(*RUN_S)  # noqa: S311 - a simulation
        if model != self.model:
            gpu_s += self.load_s[model]
            self.loads += 1
        self.model = model
        self.node.loaded = (f"CheckpointLoaderSimple.ckpt_name={model}",)
        self.jobs += 1
        await self.node.start(given.ref)
        running_until = asyncio.get_running_loop().time() + gpu_s / self.speed
        held = await self.node.request_work(held=given.ref)
        await asyncio.sleep(max(0.0, running_until - asyncio.get_running_loop().time()))
        request = None if held else RequestWork(boot_id=self.node.boot_id, wait_s=0, loaded=self.node.loaded)
        reply = await self.node.finish_and_request(given.ref, request, Outcome.SUCCEEDED, gpu_seconds=gpu_s)
        return held or reply.assignment


def draw_jobs(arguments: argparse.Namespace) -> list[tuple[int, int]]:
    """Draw tenant and model of each job."""
    models = list(accumulate((number + 1) ** -arguments.zipf for number in range(arguments.models)))
    tenants = random.choices(range(len(arguments.weights)), arguments.shares, k=arguments.jobs)  # noqa: S311
    return [(tenant, random.choices(range(arguments.models), cum_weights=models)[0]) for tenant in tenants]  # noqa: S311


async def queue_jobs(
    world: World, sql: asyncpg.Connection, tenants: Sequence[UUID], models: Sequence[str], jobs: list[tuple[int, int]]
) -> None:
    """Submit one job of each tenant and model, and copy them in the database: 10,000 submissions take too long."""
    originals = {one: await world.submit_job(tenants[one[0]], model=models[one[1]]) for one in sorted(set(jobs))}
    added = jobs[: len(jobs) - len(originals)]
    ids, copied = [new_id() for _ in added], [originals[one] for one in added]
    async with sql.transaction():
        await sql.execute(COPY_JOBS, ids, copied)
        await sql.execute(COPY_GRAPHS, ids, copied)
        await sql.execute(COUNT_QUEUED)
    await sql.execute("VACUUM ANALYZE")


async def measure_shares(sql: asyncpg.Connection, tenants: Sequence[UUID], arguments: argparse.Namespace) -> None:
    async def is_first_empty() -> bool:
        return bool(await sql.fetchval(FIRST_IS_EMPTY, tenants))

    await until(is_first_empty, within_s=END_WITHIN_S)
    empty = await sql.fetchval("SELECT id FROM tenants WHERE id = ANY($1) ORDER BY queued LIMIT 1", tenants)
    at = await sql.fetchval(EMPTY_SINCE, empty)

    async def have_ended() -> bool:
        return not await sql.fetchval(COUNT_LIVE, at)

    await until(have_ended, within_s=END_WITHIN_S)
    started = {row["tenant_id"]: row["spent"] for row in await sql.fetch(SHARES, at)}
    charged = {row["tenant_id"]: row["spent"] for row in await sql.fetch(CHARGED)}
    jobs = await sql.fetchval("SELECT count(*) FROM attempts WHERE leased_at <= $1 AND NOT prefetched", at)
    print(f"{jobs} of {arguments.jobs} jobs started until the first tenant had no queued jobs left")
    print("weight  jobs queued   by weight   of GPU-seconds (distance)   of usage_days")
    for tenant, weight, share in zip(tenants, arguments.weights, arguments.shares, strict=True):
        fair, seen, used = (
            weight / sum(arguments.weights),
            *(spent.get(tenant, 0.0) / sum(spent[one] for one in tenants) for spent in (started, charged)),
        )
        queued = share / sum(arguments.shares)
        print(f"{weight:6g}{queued:12.0%}{fair:12.2%}{seen:13.2%} ({seen - fair:+.2%}){used:16.2%}", flush=True)


async def measure_newcomers(
    world: World, sql: asyncpg.Connection, tenants: Sequence[UUID], models: Sequence[str], arguments: argparse.Namespace
) -> None:
    rounds, queued = [], 0
    for number in range(arguments.newcomers):
        newcomer = world.add_tenant()
        queued = await sql.fetchval("SELECT sum(queued) FROM tenants WHERE id = ANY($1)", tenants)
        job_id = await world.submit_job(newcomer, model=models[-1 - number % len(models)])

        async def has_ended(job_id: UUID = job_id) -> bool:
            return bool(await sql.fetchval("SELECT completed_at IS NOT NULL FROM jobs WHERE id = $1", job_id))

        await until(has_ended, within_s=END_WITHIN_S)
        rounds.append(await sql.fetchval(STARTS_BEFORE, job_id) / arguments.nodes)
    print(
        f"{arguments.newcomers} new tenants beside {queued} queued jobs or more: their jobs started after "
        f"{', '.join(f'{one:.2f}' for one in rounds)} rounds",
        flush=True,
    )


async def measure(arguments: argparse.Namespace) -> None:
    """Start everything and print the results."""
    random.seed(arguments.seed)
    nats, postgres = NatsServer(), PostgresServer()
    try:
        await postgres.create()
        await nats.start()
        url = await postgres.create_database("scheduler")
        (port,) = find_free_ports(1)
        settings = {
            "SCHEDULER_NATS_URL": nats.url,
            "SCHEDULER_DATABASE_URL": url,
            "SCHEDULER_LEASE_S": "3600",
            "SCHEDULER_WARM_BOUND_S": str(arguments.bound_s / arguments.speed),
            "SCHEDULER_PORT": str(port),
            "LOG_LEVEL": "ERROR",
        }
        auth, bus = Auth(nats.url), bus_as(nats.url, "gateway")
        await auth.start()
        await bus.start()
        async with running_module(f"http://127.0.0.1:{port}/readyz", "scheduler", "serve", **settings):
            pool = await asyncpg.create_pool(url.replace("+asyncpg", ""), min_size=1, max_size=4)
            world = World(System(auth, bus, pool, url, nats.url))
            async with pool.acquire() as sql:
                await measure_all(world, sql, arguments)
            await pool.close()
        await bus.stop()
        await auth.stop()
    finally:
        nats.remove()
        postgres.remove()


async def measure_all(world: World, sql: asyncpg.Connection, arguments: argparse.Namespace) -> None:
    models = [f"model-{number}.safetensors" for number in range(arguments.models)]
    load_s = {model: random.uniform(*LOAD_S) for model in models}  # noqa: S311 - a simulation
    tenants = [world.add_tenant(weight=weight) for weight in arguments.weights]
    nodes = [await Node(world.system, f"node-{n}", catalog(*models)).join() for n in range(arguments.nodes)]
    await world.until_offered(models[0])
    await queue_jobs(world, sql, tenants, models, draw_jobs(arguments))
    executors = [ScriptedExecutor(node, arguments.speed, load_s) for node in nodes]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(executor.run()) for executor in executors]
        await measure_shares(sql, tenants, arguments)
        await measure_newcomers(world, sql, tenants, models, arguments)
        for task in tasks:
            task.cancel()
    loads, jobs = sum(one.loads for one in executors), sum(one.jobs for one in executors)
    print(f"{loads} of {jobs} jobs loaded a model ({loads / jobs:.1%})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=8)
    parser.add_argument("--models", type=int, default=20)
    parser.add_argument("--zipf", type=float, default=1.1)
    parser.add_argument("--jobs", type=int, default=12_000)
    parser.add_argument("--weights", type=float, nargs="+", default=[1.0, 2.0, 4.0])
    parser.add_argument("--shares", type=float, nargs="+", default=[90.0, 5.0, 5.0], help="of each tenant in the jobs")
    parser.add_argument("--newcomers", type=int, default=5)
    parser.add_argument("--speed", type=float, default=20.0)
    parser.add_argument("--bound-s", type=float, default=30.0, help="SCHEDULER_WARM_BOUND_S before it is shortened")
    parser.add_argument("--seed", type=int, default=1)
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
