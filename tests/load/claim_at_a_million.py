"""Measures how long the scheduler takes to select a job for a node from a million waiting jobs.

    python -m tests.load.claim_at_a_million [--jobs 1000000]

A thousand tenants; one job in a hundred is a retry that one of ten nodes may not take yet. The selections change
nothing. Prints the median and maximum of 50, milliseconds: for one of these nodes, for one that no job avoids, and for
one that the first fifty jobs of the ten tenants with the highest claim avoid.
"""

import argparse
import asyncio
import statistics
from time import perf_counter

import asyncpg

from chassis.database.postgres import Database
from tests.kit.postgres import PostgresServer
from tests.load.worst_claim import select_now

TENANTS, ROUNDS = 1000, 50

FILL = (
    """INSERT INTO tenants (id, tier, is_active, weight, vtime)
    SELECT lpad(to_hex(n), 32, '0')::uuid, 'pro', true, 1, n FROM generate_series(1, {tenants}) n""",
    "INSERT INTO requirements (digest, needs) VALUES ('x', '{{}}')",
    """INSERT INTO jobs (id, tenant_id, state, priority, workflow, labels, requirement_id, images, usage_day, attempt,
        seq, request_hash, avoid_node, avoid_until)
    SELECT lpad(to_hex(n), 32, '0')::uuid, lpad(to_hex(1 + n % {tenants}), 32, '0')::uuid, 'queued', 0, 'w', '{{}}', 1,
        1, now()::date, CASE WHEN node IS NULL THEN 0 ELSE 1 END, 4, 'h', node, now() + interval '1 hour'
    FROM (
        SELECT n, CASE WHEN n % {tenants} < 10 AND n < 50 * {tenants} THEN 'node-x'
            WHEN n % 100 = 0 THEN 'node-' || (n / 100 % 10) END AS node
        FROM generate_series(1, {jobs}) n
    ) made""",
    "INSERT INTO graphs (job_id, graph) SELECT id, '{{}}' FROM jobs",
    "UPDATE tenants t SET queued = (SELECT count(*) FROM jobs j WHERE j.tenant_id = t.id)",
    "VACUUM ANALYZE",
)


async def measure(number: int) -> None:
    """Print a table."""
    server = PostgresServer()
    try:
        await server.create()
        url = await server.create_database("scheduler")
        sql = await asyncpg.connect(url.replace("+asyncpg", ""))
        for statement in FILL:
            await sql.execute(statement.format(jobs=number, tenants=TENANTS), timeout=900)
        await sql.close()
        database = Database(url, name="load")
        for node in ("node-3", "node-none", "node-x"):
            values = []
            for _ in range(ROUNDS):
                async with database.transaction() as connection:
                    began = perf_counter()
                    found = await select_now(connection, [1], node)
                    values.append((perf_counter() - began) * 1e3)
                    assert found is not None
            print(f"{node:<12} {statistics.median(values):8.2f} {max(values):8.2f} ms")
        await database.close()
    finally:
        server.remove()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    asyncio.run(measure(parser.parse_args().jobs))


if __name__ == "__main__":
    main()
