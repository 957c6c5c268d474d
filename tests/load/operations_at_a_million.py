"""Measures the queries of the admin API on a scheduler database with a million jobs.

    python -m tests.load.operations_at_a_million [--jobs 1000000]

Jobs of one day on ten nodes by a thousand tenants: one in a hundred failed, one in twenty waits, a hundred run. Runs
each query as the scheduler does, and prints the median and maximum of 20, milliseconds.
"""

import argparse
import asyncio
import statistics
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from time import perf_counter
from uuid import UUID

import asyncpg

from chassis.database.postgres import Database
from contracts.scheduler.jobs import JobState, ListJobs
from contracts.scheduler.search import SearchJobs
from scheduler.store import jobs, search, stats, usage
from tests.kit.postgres import PostgresServer

TENANTS, RUNNING, ROUNDS = 1000, 100, 20

FILL = (
    """INSERT INTO tenants (id, tier, is_active, weight)
    SELECT lpad(to_hex(n), 32, '0')::uuid, (ARRAY['free', 'basic', 'pro', 'enterprise'])[1 + n % 4], true, 1
    FROM generate_series(1, {tenants}) n""",
    "INSERT INTO requirements (digest, needs) VALUES ('x', '{{}}')",
    """INSERT INTO jobs (id, tenant_id, state, priority, workflow, labels, requirement_id, images, usage_day, attempt,
        seq, request_hash, created_at, started_at, completed_at, error)
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || lpad(to_hex(n), 19, '0'))::uuid,
        lpad(to_hex(1 + n / 20 % {tenants}), 32, '0')::uuid, state, n % 5, 'text-to-image', '{{}}', 1, 1, at::date, 1,
        4, 'h', at, CASE WHEN state <> 'queued' THEN at + interval '2 s' END,
        CASE WHEN state IN ('succeeded', 'failed') THEN at + interval '9 s' END,
        CASE WHEN state = 'failed' THEN '{{"code": "node.error", "message": "m"}}'::jsonb END
    FROM (
        SELECT n, now() - interval '1 day' * (1 - n::float / {jobs}) AS at,
            CASE WHEN n > {jobs} - {running} THEN 'running' WHEN n % 20 = 7 THEN 'queued' WHEN n % 100 = 0 THEN 'failed'
                ELSE 'succeeded' END AS state
        FROM generate_series(1, {jobs}) n
    ) made""",
    """INSERT INTO attempts (job_id, attempt, tenant_id, node, lease_token, prompt_id, lease_until, leased_at, ended_at,
        outcome, gpu_seconds, cost)
    SELECT id, 1, tenant_id, 'node-' || (n % 10), id, id, now(), created_at, created_at, state, 7, 7
    FROM (SELECT *, row_number() OVER () AS n FROM jobs WHERE state IN ('succeeded', 'failed')) ended""",
    """UPDATE tenants t SET queued = c.queued, running = c.running FROM (
        SELECT tenant_id, count(*) FILTER (WHERE state = 'queued') AS queued,
            count(*) FILTER (WHERE state = 'running') AS running FROM jobs GROUP BY tenant_id
    ) c WHERE c.tenant_id = t.id""",
    """INSERT INTO usage_days (tenant_id, day, images, jobs, gpu_seconds)
    SELECT t.id, now()::date - d, 10, 10, 70 FROM tenants t, generate_series(0, 89) d""",
    "VACUUM ANALYZE",
)


async def fill(url: str, number: int) -> None:
    """Create the jobs."""
    sql = await asyncpg.connect(url.replace("+asyncpg", ""))
    for statement in FILL:
        await sql.execute(statement.format(jobs=number, tenants=TENANTS, running=RUNNING), timeout=600)
    await sql.close()


def build_queries(connection: asyncpg.Connection) -> dict[str, Callable[[], Awaitable[object]]]:
    """Return the queries by name."""
    tenant, then = UUID(int=7), datetime.now(UTC) - timedelta(hours=12)

    def build_search(**query: object) -> Callable[[], Awaitable[object]]:
        return lambda: search.search_jobs(connection, SearchJobs.model_validate(query))

    return {
        "stats: queue": lambda: stats.count_queue(connection),
        "stats: nodes": lambda: stats.count_nodes(connection, offline_after_s=15),
        "stats: the last hour": lambda: stats.measure_recent_throughput_and_waits(connection),
        "stats: failures of a day": lambda: stats.count_failures(connection),
        "jobs: newest": build_search(),
        "jobs: failed": build_search(states=(JobState.FAILED, JobState.EXPIRED)),
        "jobs: cancelled (there are none)": build_search(states=(JobState.CANCELLED,)),
        "jobs: running": build_search(states=(JobState.LEASED, JobState.RUNNING)),
        "jobs: waiting": build_search(states=(JobState.QUEUED,)),
        "jobs: of a tenant": build_search(tenant_id=tenant),
        "jobs: of a node": build_search(node="node-3"),
        "jobs: of a node that there is not": build_search(node="node-x"),
        "jobs: of this morning": build_search(created_before=then),
        "jobs: of a workflow that there is not": build_search(workflow="nobodys"),
        "own jobs: of an hour, twelve ago": lambda: jobs.list_jobs(
            connection,
            tenant,
            ListJobs(created_after=then, created_before=then + timedelta(hours=1)),
        ),
        "usage: everybody's 90 days": lambda: usage.list_usage_days(connection, None, days=90),
    }


async def measure(number: int) -> None:
    """Print a table."""
    server = PostgresServer()
    try:
        await server.create()
        url = await server.create_database("scheduler")
        began = perf_counter()
        await fill(url, number)
        print(f"{number:,} jobs made in {perf_counter() - began:.0f} s\n")
        database = Database(url, name="load")
        async with database.connection() as connection:
            for name, ask in build_queries(connection).items():
                values = []
                for _ in range(ROUNDS):
                    began = perf_counter()
                    await ask()
                    values.append((perf_counter() - began) * 1e3)
                print(f"{name:<42} {statistics.median(values):8.1f} {max(values):8.1f} ms")
        await database.close()
    finally:
        server.remove()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    asyncio.run(measure(parser.parse_args().jobs))


if __name__ == "__main__":
    main()
