"""Measures how long reading a waiting job takes, by its place in the queue.

    python -m tests.load.read_waiting_jobs [--jobs 100000 1000000]

The queue belongs to one tenant, or to a thousand tenants with different shares. The first, the middle and the last
waiting job of a tenant are read in turn from a running scheduler with one node, over NATS. Prints the median and the
95th percentile of 100 reads in milliseconds, the median of the statement that finds the job, and its position.
"""

import argparse
import asyncio
import statistics
from time import perf_counter
from typing import NamedTuple
from uuid import UUID

import asyncpg

from chassis.database.postgres import Database
from contracts.scheduler.jobs import READ_JOB, ReadJob
from scheduler.store import jobs
from tests.integration.scheduler.conftest import Node, System, catalog, run_system
from tests.kit.nats import NatsServer
from tests.kit.postgres import PostgresServer

ROUNDS, FILL_TIMEOUT_S = 100, 900

FILL = (
    "INSERT INTO requirements (digest, needs) VALUES ('x', '{{CheckpointLoaderSimple}}')",
    """INSERT INTO tenants (id, tier, is_active, weight, vtime)
    SELECT lpad(to_hex(n), 32, '0')::uuid, 'pro', true, 1 + n % 4, n FROM generate_series(1, {tenants}) n""",
    """INSERT INTO jobs (id, tenant_id, state, priority, workflow, labels, requirement_id, images, usage_day, seq,
        request_hash, created_at)
    SELECT (lpad(to_hex(n), 12, '0') || '7' || lpad('', 19, '0'))::uuid, lpad(to_hex(1 + n % {tenants}), 32, '0')::uuid,
        'queued', 0, 'custom', '{{}}', 1, 1, now()::date, 1, 'h', now() + interval '1 ms' * n
    FROM generate_series(1, {jobs}) n""",
    "UPDATE tenants t SET queued = (SELECT count(*) FROM jobs j WHERE j.tenant_id = t.id)",
    """INSERT INTO run_times (scope, id, node_class, loads_models, bins)
    VALUES ('fleet', 0, '', false, '{{"35": 50, "36": 50}}')""",
    "VACUUM ANALYZE",
)


class Place(NamedTuple):
    """A job in the queue of a tenant."""

    name: str
    tenant_id: UUID
    job_id: UUID


async def fill(url: str, *, number: int, tenants: int) -> list[Place]:
    """Create the queue, and return the jobs to read: of the last tenant in fair order."""
    sql = await asyncpg.connect(url.replace("+asyncpg", ""))
    for statement in FILL:
        await sql.execute(statement.format(jobs=number, tenants=tenants), timeout=FILL_TIMEOUT_S)
    last = await sql.fetchval("SELECT id FROM tenants ORDER BY vtime DESC LIMIT 1")
    ids = [row["id"] for row in await sql.fetch("SELECT id FROM jobs WHERE tenant_id = $1 ORDER BY id", last)]
    places = [
        Place("first", last, ids[0]), Place("middle", last, ids[len(ids) // 2]), Place("last", last, ids[-1])
    ]  # fmt: skip
    for place in places:  # the event of a queued job has the time since which it waits
        await sql.execute(
            "INSERT INTO job_events (job_id, seq, event) VALUES ($1, 1, jsonb_build_object('at', now()))", place.job_id
        )
    await sql.close()
    return places


async def measure_reads(system: System, places: list[Place]) -> None:
    times: dict[str, list[float]] = {place.name: [] for place in places}
    positions: dict[str, str] = {}
    for _ in range(ROUNDS):
        for place in places:
            began = perf_counter()
            read = await system.bus.request(READ_JOB, ReadJob(job_id=place.job_id), tenant=str(place.tenant_id))
            times[place.name].append((perf_counter() - began) * 1e3)
            positions[place.name] = f"position {read.job.queue_position}, ETA {read.job.eta_seconds} s"
    database = Database(system.database_url, name="load")
    for place in places:
        values = sorted(times[place.name])
        statement = []
        async with database.connection() as connection:
            for _ in range(ROUNDS):
                began = perf_counter()
                await jobs.find_job(connection, place.tenant_id, place.job_id)
                statement.append((perf_counter() - began) * 1e3)
        print(
            f"  {place.name:<7} {statistics.median(values):7.2f} {values[int(0.95 * len(values))]:7.2f} ms"
            f"   statement {statistics.median(statement):6.2f} ms   {positions[place.name]}"
        )
    await database.close()
    ratio = statistics.median(times["last"]) / statistics.median(times["first"])
    print(f"  last / first {ratio:.2f}")


async def measure(number: int, tenants: int) -> None:
    postgres, nats = PostgresServer(), NatsServer()
    try:
        await postgres.create()
        await nats.start()
        url = await postgres.create_database("scheduler")
        places = await fill(url, number=number, tenants=tenants)
        print(f"{number:,} waiting jobs of {tenants:,} tenants")
        async with run_system(nats.url, url, lease_s=600) as system:
            await Node(system, "node", catalog("x.safetensors")).join()
            await measure_reads(system, places)
    finally:
        nats.remove()
        postgres.remove()


async def measure_all(numbers: list[int]) -> None:
    for number in numbers:
        for tenants in (1, 1000):
            await measure(number, tenants)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, nargs="+", default=[100_000, 1_000_000])
    asyncio.run(measure_all(parser.parse_args().jobs))


if __name__ == "__main__":
    main()
