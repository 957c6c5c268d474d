"""Measures what many idle executors cost, and how soon one of them starts a job.

    python -m tests.load.parked_executors [--nodes 1000] [--submits 100] [--per-s 10] [--backlogs 0 100000 1000000]

One scheduler, PostgreSQL and NATS; this process acts as auth, gateway and executors, which request work again and again
and have no jobs. Beside each backlog of jobs that no node can run, prints the cores of scheduler and PostgreSQL while
nothing happens, then while jobs are submitted one by one: claims of the scheduler per submit (reads of a node for a
claim, each of which may end without a job), and the time from the submit to the answer that an executor gets.
"""

import argparse
import asyncio
import os
import statistics
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from uuid import UUID

import asyncpg

from contracts.scheduler.attempts import (
    FINISH_ATTEMPT,
    REQUEST_WORK,
    FinishAttempt,
    Outcome,
    RequestWork,
)
from contracts.scheduler.heartbeats import ReportCatalog
from contracts.wire.errors import Unavailable
from stack.ports import find_free_ports
from tests.integration.scheduler.conftest import Auth, Node, System, World, bus_as, catalog
from tests.kit.hammer import running
from tests.kit.nats import NatsServer
from tests.kit.postgres import PostgresServer
from tests.load.submit_rate import TICK_S

IDLE_S, SETTLE_S, WAIT_S = 15.0, 8.0, 5.0
FILL = (
    "INSERT INTO requirements (digest, needs) VALUES ('nobody', '{NoSuchClass}') ON CONFLICT DO NOTHING",
    """INSERT INTO tenants (id, tier, is_active, weight)
    SELECT lpad(to_hex(n), 32, '0')::uuid, 'pro', true, 1 FROM generate_series(1, 1000) n
    ON CONFLICT DO NOTHING""",
    """INSERT INTO jobs (id, tenant_id, state, priority, workflow, labels, requirement_id, images, usage_day, seq,
        request_hash)
    SELECT gen_random_uuid(), lpad(to_hex(1 + n % 1000), 32, '0')::uuid, 'queued', 0, 'w', '{}',
        (SELECT id FROM requirements WHERE digest = 'nobody'), 1, now()::date, 1, 'h'
    FROM generate_series(1, $1) n""",
    "INSERT INTO graphs (job_id, graph) SELECT id, '{}' FROM jobs WHERE request_hash = 'h' ON CONFLICT DO NOTHING",
    """UPDATE tenants t SET queued = c.queued
    FROM (SELECT tenant_id, count(*) AS queued FROM jobs WHERE state = 'queued' GROUP BY tenant_id) c
    WHERE c.tenant_id = t.id""",
    "VACUUM ANALYZE",
)


def measure_cpu(roots: Mapping[str, int]) -> dict[str, float]:
    """Return the CPU seconds of processes with all their children, by name."""
    parents, seconds = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just exited
        pid = int(stat.parent.name)
        parents[pid] = int(fields[1])
        seconds[pid] = sum(map(int, fields[11:15])) * TICK_S  # with children that have ended
    found = dict.fromkeys(roots, 0.0)
    for pid, taken in seconds.items():
        line = pid
        while line in parents and line not in roots.values():
            line = parents[line]
        for name, root in roots.items():
            found[name] += taken if line == root else 0
    return found


class Executors:
    """Nodes that request work without a pause. A job that one gets is finished at once."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._nodes = nodes
        self.started: dict[UUID, float] = {}

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for number, node in enumerate(self._nodes):
                tasks.create_task(self._request_work(node, WAIT_S * number / len(self._nodes)))

    async def _request_work(self, node: Node, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        bus = node.system.bus
        while True:
            try:
                request = RequestWork(boot_id=node.boot_id, wait_s=WAIT_S)
                given = (await bus.request(REQUEST_WORK, request, key=node.name)).assignment
                if given is not None:
                    self.started[given.ref.job_id] = perf_counter()
                    ending = FinishAttempt(ref=given.ref, outcome=Outcome.SUCCEEDED, images=1, gpu_seconds=1)
                    await bus.request(FINISH_ATTEMPT, ending, key=node.name)
            except Unavailable:
                await asyncio.sleep(0.2)


class Meter:
    """Reads CPU time, and how many claims read a node."""

    def __init__(self, sql: asyncpg.Connection, roots: Mapping[str, int]) -> None:
        self._sql, self._roots = sql, roots

    async def count_claims(self) -> int:
        """Count lookups of a node by its name. Only claims do this here, since no heartbeats are sent."""
        await asyncio.sleep(2)  # PostgreSQL publishes its counters once a second
        return int(
            await self._sql.fetchval("SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'pk_nodes'")
        )

    async def measure_idle(self) -> str:
        before, began = measure_cpu(self._roots), perf_counter()
        await asyncio.sleep(IDLE_S)
        taken, after = perf_counter() - began, measure_cpu(self._roots)
        return "".join(f"{(after[name] - before[name]) / taken:12.3f}" for name in self._roots)


async def submit_jobs(world: World, tenant: UUID, executors: Executors, number: int, per_s: float) -> list[float]:
    """Submit jobs one by one; returns the milliseconds until each was given to an executor, if within 10 s."""
    sent: dict[UUID, float] = {}
    for _ in range(number):
        began = perf_counter()
        sent[await world.submit_job(tenant)] = began
        await asyncio.sleep(max(0.0, 1 / per_s - (perf_counter() - began)))
    for _ in range(100):
        if executors.started.keys() >= sent.keys():
            break
        await asyncio.sleep(0.1)
    return [(executors.started[job] - began) * 1e3 for job, began in sent.items() if job in executors.started]


async def measure(arguments: argparse.Namespace) -> None:
    """Print a table."""
    nats, postgres = NatsServer(), PostgresServer()
    try:
        await postgres.create()
        await nats.start()
        url = await postgres.database("scheduler")
        (port,) = find_free_ports(1)
        settings = {
            "SCHEDULER_NATS_URL": nats.url,
            "SCHEDULER_DATABASE_URL": url,
            "SCHEDULER_LEASE_S": "3600",
            "LOG_LEVEL": "ERROR",
            "SCHEDULER_PORT": str(port),
        }
        auth, bus = Auth(nats.url), bus_as(nats.url, "gateway")
        await auth.start()
        await bus.start()
        async with running(f"http://127.0.0.1:{port}/readyz", "scheduler", "serve", **settings):
            sql = await asyncpg.create_pool(url.replace("+asyncpg", ""), min_size=1, max_size=4)
            system = System(auth, bus, sql, url, nats.url)
            world = World(system)
            make = partial(make_node, system, catalog("common.safetensors"))
            first = await make(0).join()
            nodes = [first, *[await node.join() for node in map(make, range(1, arguments.nodes))]]
            await world.until_offered("common.safetensors")
            await sql.execute("ANALYZE")
            print(
                f"{'backlog':>10}{'':4}idle cores: scheduler  PostgreSQL   claims/submit    p50      p95 ms    started"
            )
            assert postgres._process is not None
            await run_phases(arguments, world, nodes, {"scheduler": find_child(), "postgres": postgres._process.pid})
            await sql.close()
        await bus.stop()
        await auth.stop()
    finally:
        nats.remove()
        postgres.remove()


def make_node(system: System, report: ReportCatalog, number: int) -> Node:
    return Node(system, f"node-{number}", report)


def find_child() -> int:
    """Return the process id of the scheduler, a child of this process."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if parent == os.getpid() and b"scheduler" in words and b"serve" in words:
            return int(entry.name)
    raise RuntimeError("the scheduler does not run")


async def run_phases(
    arguments: argparse.Namespace, world: World, nodes: Sequence[Node], roots: Mapping[str, int]
) -> None:
    tenant, executors = world.add_tenant(), Executors(nodes)
    sql = await asyncpg.connect(world.system.database_url.replace("+asyncpg", ""))
    meter, filled = Meter(sql, roots), 0
    requesting = asyncio.create_task(executors.run())
    for backlog in arguments.backlogs:
        if backlog > filled:
            for statement in FILL:
                await sql.execute(statement, *([backlog - filled] if "$1" in statement else []), timeout=900)
            filled = backlog
        await asyncio.sleep(SETTLE_S)
        idle = await meter.measure_idle()
        before, began = await meter.count_claims(), perf_counter()
        await asyncio.sleep(IDLE_S)
        resting_per_s = (await meter.count_claims() - before) / (perf_counter() - began)
        before, began = await meter.count_claims(), perf_counter()
        values = await submit_jobs(world, tenant, executors, arguments.submits, arguments.per_s)
        claims = await meter.count_claims() - before - resting_per_s * (perf_counter() - began)
        values.sort()
        p50, p95 = (statistics.median(values), values[int(len(values) * 0.95)]) if values else (float("nan"),) * 2
        print(
            f"{backlog:10,}{'':12}{idle}{claims / arguments.submits:16.1f}{p50:11.1f}{p95:9.1f}"
            f"{len(values):7}/{arguments.submits}, at rest {resting_per_s:.0f} claims/s",
            flush=True,
        )
    requesting.cancel()
    await asyncio.wait({requesting})
    await sql.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--submits", type=int, default=100)
    parser.add_argument("--per-s", type=float, default=10.0)
    parser.add_argument("--backlogs", type=int, nargs="+", default=[0, 100_000, 1_000_000])
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
