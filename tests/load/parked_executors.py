"""Measures what many idle executors cost, and how soon one of them starts a job.

    python -m tests.load.parked_executors [--nodes 1000] [--submits 100] [--per-s 10] [--backlogs 0 100000 1000000]
        [--heartbeat-s 0] [--long-idle] [--compare 2 200]

One scheduler, PostgreSQL and NATS; this process acts as auth, gateway and executors, which request work again and again
and have no jobs. Beside each backlog of jobs that no node can run, prints the cores of scheduler and PostgreSQL while
nothing happens, then while jobs are submitted one by one: claims of the scheduler per submit by its own counter, less
one for each request that ended without a job; the time from the submit to its answer, and to the assignment that an
executor gets.
Executors send no heartbeats unless ``--heartbeat-s`` gives their interval (in production 3 s); with
``--long-idle`` they behave as after a minute without work.

``--compare`` instead runs a whole system for each size of fleet at the same time, and submits to one after the other in
many short rounds.
"""

import argparse
import asyncio
import statistics
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import NamedTuple
from uuid import UUID

import asyncpg

from contracts.metrics import CLAIMS
from contracts.scheduler.attempts import (
    FINISH_ATTEMPT,
    REQUEST_WORK,
    FinishAttempt,
    Outcome,
    RequestWork,
)
from contracts.wire.errors import Unavailable
from executor.domain.request_timing import LONG_IDLE_REPLIES, REPLY_S, choose_wait_s
from stack.ports import find_free_ports
from tests.integration.scheduler.conftest import Auth, Node, System, World, bus_as, catalog
from tests.kit.http import http_client
from tests.kit.load_generator import running_module
from tests.kit.metrics import Scrape
from tests.kit.nats import NatsServer
from tests.kit.postgres import PostgresServer
from tests.load.submit_rate import TICK_S

IDLE_S, SETTLE_S, WAIT_S = 15.0, 8.0, 5.0
ROUNDS, SUBMITS_PER_ROUND, PAUSE_S = 20, 10, 0.1  # for --compare
MODEL = "common.safetensors"
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
    """Executors that request work without a pause and finish each job at once."""

    def __init__(self, nodes: Sequence[Node], *, heartbeat_s: float = 0, empty_replies: int = 0) -> None:
        self._nodes, self._heartbeat_s = nodes, heartbeat_s
        self._empty_replies, self.requests = empty_replies, 0
        self.started: dict[UUID, float] = {}

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for number, node in enumerate(self._nodes):
                part = number / len(self._nodes)
                tasks.create_task(self._request_work(node, WAIT_S * part))
                if self._heartbeat_s:
                    tasks.create_task(self._send_heartbeats(node, self._heartbeat_s * part))

    async def _request_work(self, node: Node, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        bus, empty_replies = node.system.bus, self._empty_replies
        while True:
            try:
                wait_s = choose_wait_s(WAIT_S, empty_replies=empty_replies)
                request = RequestWork(boot_id=node.boot_id, wait_s=wait_s)
                self.requests += 1
                reply = await bus.request(REQUEST_WORK, request, key=node.name, within_s=wait_s + REPLY_S)
                given, empty_replies = reply.assignment, empty_replies + 1
                if given is not None:
                    empty_replies = 0
                    self.started[given.ref.job_id] = perf_counter()
                    ending = FinishAttempt(ref=given.ref, outcome=Outcome.SUCCEEDED, images=1, gpu_seconds=1)
                    await bus.request(FINISH_ATTEMPT, ending, key=node.name)
            except Unavailable:
                await asyncio.sleep(0.2)

    async def _send_heartbeats(self, node: Node, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        while True:
            await node.send_heartbeat()
            await asyncio.sleep(self._heartbeat_s)


class Latencies(NamedTuple):
    """Milliseconds from a submit to its answer, and to the assignment of its job, if that came within 10 s."""

    answered: list[float]
    started: list[float]


@dataclass
class Fleet:
    """A whole system with idle executors.

    Attributes:
        roots: process ids by name.
        metrics_url: of the scheduler.
    """

    world: World
    executors: Executors
    sql: asyncpg.Connection
    roots: Mapping[str, int]
    metrics_url: str
    tenant: UUID = field(init=False)

    def __post_init__(self) -> None:
        self.tenant = self.world.add_tenant()

    async def count_claims(self) -> Counter[str]:
        """Return how many claims the scheduler has made, by outcome."""
        async with http_client() as client:
            text = (await client.get(self.metrics_url)).text
        found = Scrape({"scheduler": text}).only(CLAIMS.name).find(CLAIMS.name)
        return Counter({dict(series.labels)["outcome"]: int(value) for series, value in found})

    async def measure_idle(self) -> str:
        """Return the cores that each process takes while nothing happens."""
        before, began = measure_cpu(self.roots), perf_counter()
        await asyncio.sleep(IDLE_S)
        taken, after = perf_counter() - began, measure_cpu(self.roots)
        return "".join(f"{(after[name] - before[name]) / taken:12.3f}" for name in self.roots)

    async def submit_jobs(self, number: int, *, every_s: float) -> Latencies:
        """Submit jobs one by one."""
        sent: dict[UUID, float] = {}
        answered = []
        for _ in range(number):
            began = perf_counter()
            sent[await self.world.submit_job(self.tenant)] = began
            answered.append((perf_counter() - began) * 1e3)
            await asyncio.sleep(max(0.0, every_s - (perf_counter() - began)))
        for _ in range(100):
            if self.executors.started.keys() >= sent.keys():
                break
            await asyncio.sleep(0.1)
        started = self.executors.started
        return Latencies(answered, [(started[job] - began) * 1e3 for job, began in sent.items() if job in started])


@asynccontextmanager
async def run_fleet(nodes: int, *, heartbeat_s: float = 0, empty_replies: int = 0) -> AsyncIterator[Fleet]:
    """Run a system with so many idle executors."""
    nats, postgres = NatsServer(), PostgresServer()
    try:
        await postgres.create()
        await nats.start()
        url = await postgres.create_database("scheduler")
        port, metrics_port = find_free_ports(2)
        settings = {
            "SCHEDULER_NATS_URL": nats.url,
            "SCHEDULER_DATABASE_URL": url,
            "SCHEDULER_LEASE_S": "3600",
            "LOG_LEVEL": "ERROR",
            "SCHEDULER_PORT": str(port),
            "METRICS_PORT": str(metrics_port),
        }
        auth, bus = Auth(nats.url), bus_as(nats.url, "gateway")
        await auth.start()
        await bus.start()
        async with running_module(f"http://127.0.0.1:{port}/readyz", "scheduler", "serve", **settings) as scheduler:
            sql = await asyncpg.create_pool(url.replace("+asyncpg", ""), min_size=1, max_size=4)
            system = System(auth, bus, sql, url, nats.url)
            world = World(system)
            make = partial(make_node, system)
            first = await make(0).join()
            joined = [first, *[await node.join() for node in map(make, range(1, nodes))]]
            await world.until_offered(MODEL)
            await sql.execute("ANALYZE")
            assert postgres._process is not None
            fleet = Fleet(
                world,
                Executors(joined, heartbeat_s=heartbeat_s, empty_replies=empty_replies),
                await asyncpg.connect(url.replace("+asyncpg", "")),
                {"scheduler": scheduler.pid, "postgres": postgres._process.pid},
                f"http://127.0.0.1:{metrics_port}/metrics",
            )
            requesting = asyncio.create_task(fleet.executors.run())
            await asyncio.sleep(SETTLE_S)
            yield fleet
            requesting.cancel()
            await asyncio.wait({requesting})
            await fleet.sql.close()
            await sql.close()
        await bus.stop()
        await auth.stop()
    finally:
        nats.remove()
        postgres.remove()


def make_node(system: System, number: int) -> Node:
    return Node(system, f"node-{number}", catalog(MODEL))


def describe(values: Sequence[float]) -> str:
    """Format median and 95th percentile."""
    ordered = sorted(values) or [float("nan")]
    return f"{statistics.median(ordered):9.1f}{ordered[int(len(ordered) * 0.95)]:8.1f}"


async def measure_backlogs(arguments: argparse.Namespace) -> None:
    """Print a line for each backlog."""
    empty_replies = LONG_IDLE_REPLIES if arguments.long_idle else 0
    async with run_fleet(arguments.nodes, heartbeat_s=arguments.heartbeat_s, empty_replies=empty_replies) as fleet:
        print(
            f"{'backlog':>10}   idle cores: scheduler, PostgreSQL   claims/submit   answered p50, p95 ms"
            "   started p50, p95 ms"
        )
        filled = 0
        for backlog in arguments.backlogs:
            if backlog > filled:
                for statement in FILL:
                    await fleet.sql.execute(statement, *([backlog - filled] if "$1" in statement else []), timeout=900)
                filled = backlog
                await asyncio.sleep(SETTLE_S)
            requests, began = fleet.executors.requests, perf_counter()
            idle = await fleet.measure_idle()
            resting_per_s = (fleet.executors.requests - requests) / (perf_counter() - began)
            requests, before = fleet.executors.requests, await fleet.count_claims()
            found = await fleet.submit_jobs(arguments.submits, every_s=1 / arguments.per_s)
            made = await fleet.count_claims() - before
            # Of the new requests, one for each started job got a job; subtract the claims of the others.
            claims = made.total() - (fleet.executors.requests - requests) + len(found.started)
            print(
                f"{backlog:10,}{'':8}{idle}{claims / arguments.submits:16.1f}{'':6}{describe(found.answered)}{'':5}"
                f"{describe(found.started)}{len(found.started):7}/{arguments.submits}, "
                f"at rest {resting_per_s:.0f} requests/s; all claims while submitting: "
                + ", ".join(f"{number} {outcome}" for outcome, number in made.most_common()),
                flush=True,
            )


async def compare_fleets(sizes: Sequence[int], *, heartbeat_s: float) -> None:
    """Print a line for each size of fleet: all run at the same time, and get jobs in turn."""
    async with AsyncExitStack() as stack:
        fleets = {size: await stack.enter_async_context(run_fleet(size, heartbeat_s=heartbeat_s)) for size in sizes}
        found = {size: Latencies([], []) for size in sizes}
        for _ in range(ROUNDS):
            for size, fleet in fleets.items():
                round_ = await fleet.submit_jobs(SUBMITS_PER_ROUND, every_s=PAUSE_S)
                found[size].answered.extend(round_.answered)
                found[size].started.extend(round_.started)
        smallest = statistics.median(found[sizes[0]].started)
        print(f"{'nodes':>10}   answered p50, p95 ms   started p50, p95 ms   ratio of p50")
        for size, latencies in found.items():
            ratio = statistics.median(latencies.started) / smallest
            print(
                f"{size:10,}{'':6}{describe(latencies.answered)}{'':5}{describe(latencies.started)}{ratio:15.2f}"
                f"{len(latencies.started):7}/{ROUNDS * SUBMITS_PER_ROUND} started",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--submits", type=int, default=100)
    parser.add_argument("--per-s", type=float, default=10.0)
    parser.add_argument("--backlogs", type=int, nargs="+", default=[0, 100_000, 1_000_000])
    parser.add_argument("--heartbeat-s", type=float, default=0.0)
    parser.add_argument("--long-idle", action="store_true")
    parser.add_argument("--compare", type=int, nargs="+")
    arguments = parser.parse_args()
    if arguments.compare:
        asyncio.run(compare_fleets(arguments.compare, heartbeat_s=arguments.heartbeat_s))
    else:
        asyncio.run(measure_backlogs(arguments))


if __name__ == "__main__":
    main()
