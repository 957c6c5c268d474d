"""Measures how long the scheduler takes to select a job for a node from a million waiting jobs, in hostile orders.

    python -m tests.load.worst_claim [--jobs 1000000] [--rounds 30] [--only TEXT]

Each arrangement fills the queue so that what the node can run comes last in the fair order or in the tenant's queue, or
not at all. Selections change nothing. Prints the median and maximum, milliseconds: for a node that has loaded no model;
for one that has loaded the model of the last requirement that it can run, while another node has that of the first; and
for the statements from before decision 0056, which read every job ahead; "-" where these exceed 10 s. ``--only`` leaves
out arrangements of which the name does not contain the text.
"""

import argparse
import asyncio
import statistics
from collections.abc import Sequence
from time import perf_counter
from typing import NamedTuple
from uuid import UUID

import asyncpg

from chassis.database.postgres import Database
from chassis.database.statement import Connection
from scheduler.store import claims
from scheduler.usecases.fleet_state import FleetState
from scheduler.usecases.loaded_models import LoadedModels
from scheduler.usecases.place_jobs import JobPlacer, TenantSearch
from tests.kit.postgres import PostgresServer

NODE = "node-1"
PAST_PICKS = (
    """SELECT t.id FROM tenants t WHERE t.ready AND EXISTS (
        SELECT 1 FROM jobs j WHERE j.tenant_id = t.id AND j.state = 'queued' AND NOT j.on_hold
            AND j.requirement_id = ANY($1::bigint[]) AND (j.avoid_node IS DISTINCT FROM $2 OR j.avoid_until < now())
    ) ORDER BY t.vtime, t.id LIMIT 1 FOR UPDATE OF t SKIP LOCKED""",
    """SELECT j.id FROM jobs j JOIN graphs g ON g.job_id = j.id
    WHERE j.tenant_id = $3 AND j.state = 'queued' AND NOT j.on_hold AND j.requirement_id = ANY($1::bigint[])
        AND (j.avoid_node IS DISTINCT FROM $2 OR j.avoid_until < now())
    ORDER BY j.priority DESC, j.id LIMIT 1 FOR UPDATE OF j SKIP LOCKED""",
)
CLEAR = "TRUNCATE tenants, jobs, graphs, waiting_requirements CASCADE"
MAKE_TENANTS = """INSERT INTO tenants (id, tier, is_active, weight, vtime)
    SELECT lpad(to_hex(n), 32, '0')::uuid, 'pro', true, 1, n FROM generate_series(1, {tenants}) n"""
MAKE_JOBS = """INSERT INTO jobs (id, tenant_id, state, priority, workflow, labels, requirement_id, images, usage_day,
        seq, request_hash, on_hold, start_by)
    SELECT lpad(to_hex(n), 32, '0')::uuid, lpad(to_hex({tenant}), 32, '0')::uuid, 'queued', {priority}, 'w', '{{}}',
        {requirement}, 1, now()::date, 1, 'h', {held}, CASE WHEN n % 3 = 0 THEN now() - interval '1 minute' END
    FROM generate_series(1, {jobs}) n"""
FINISH = (
    "INSERT INTO graphs (job_id, graph) SELECT id, '{}' FROM jobs",
    """UPDATE tenants t SET queued = c.queued
    FROM (SELECT tenant_id, count(*) AS queued FROM jobs WHERE NOT on_hold GROUP BY tenant_id) c
    WHERE c.tenant_id = t.id""",
    "VACUUM ANALYZE",
)


class Queue(NamedTuple):
    """A queue of a million jobs, as SQL expressions of the number ``n`` of a job."""

    tenants: int
    tenant: str
    requirement: str
    priority: str = "0"
    held: str = "false"


class Arrangement(NamedTuple):
    """A queue, the requirements that the node can run, and a statement that prepares the tenants."""

    name: str
    runnable: Sequence[int]
    change: str = "UPDATE tenants SET max_running = NULL, running = 0"


LIMIT_REACHED = "UPDATE tenants SET max_running = 1, running = 1 WHERE vtime < 10000"
# Ten thousand tenants with a hundred jobs each. The first half needs requirement 1, the second half 2, the last one 3.
MANY_TENANTS = Queue(
    10_000, "1 + n % 10000", "CASE WHEN n % 10000 < 5000 THEN 1 WHEN n % 10000 < 9999 THEN 2 ELSE 3 END"
)
# The first tenant has 90 % of the jobs. Of these the node can run only the last 200, which have the lowest priority,
# and 200 jobs on hold, which have the highest.
ONE_TENANT = Queue(
    1000,
    "CASE WHEN n <= {jobs} * 0.9 THEN 1 ELSE 1 + n % 1000 END",
    "CASE WHEN n <= 200 OR n > {jobs} * 0.9 - 200 THEN 2 ELSE 1 END",
    "CASE WHEN n <= 200 THEN 100 WHEN n > {jobs} * 0.9 - 200 THEN -100 ELSE n % 10 END",
    "n <= 200",
)
# A thousand tenants, each with one job of each of a thousand requirements.
MANY_REQUIREMENTS = Queue(1000, "1 + n % 1000", "1 + n / 1000 % 1000")
# Five hundred tenants, each with a thousand jobs for no node and then one of each of a thousand requirements, so that a
# look at the first jobs of the queue finds nothing.
UNRUNNABLE_FIRST = Queue(
    500,
    "1 + n % 500",
    "CASE WHEN n / 500 <= 1000 THEN 10001 ELSE n / 500 - 1000 END",
    "CASE WHEN n / 500 <= 1000 THEN 10 ELSE 0 END",
)
# The first half of the tenants has 500 odd requirements each, the second half 500 even ones.
ODD_AND_EVEN = Queue(1000, "1 + n % 1000", "CASE WHEN n % 1000 < 500 THEN 1 ELSE 2 END + 2 * (n / 1000 % 500)")
# One tenant has all jobs, of 10,000 requirements. No node meets that of the first 100.
ONE_OF_MANY_REQUIREMENTS = Queue(1, "1", "CASE WHEN n <= 100 THEN 10001 ELSE 1 + n % 10000 END")
QUEUES = {
    MANY_TENANTS: (
        Arrangement("10,000 tenants, all runnable", (1, 2, 3)),
        Arrangement("10,000 tenants, only the last one's", (3,)),
        Arrangement("10,000 tenants, only those of the second half", (2, 3)),
        Arrangement("10,000 tenants, none runnable", (4,)),
        Arrangement("10,000 tenants, all but the last at their limit", (1, 2, 3), LIMIT_REACHED),
        Arrangement("10,000 tenants, at their limit or not runnable", (1, 2), LIMIT_REACHED),
    ),
    ONE_TENANT: (
        Arrangement("first tenant 900,000, its last 200 runnable", (2,)),
        Arrangement("first tenant 900,000, none runnable", (4,)),
    ),
    MANY_REQUIREMENTS: (
        Arrangement("1,000 tenants x 1,000 requirements, all runnable", range(1, 1001)),
        Arrangement("1,000 tenants x 1,000 requirements, every other", range(2, 1001, 2)),
        Arrangement("1,000 tenants x 1,000 requirements, only one", (1000,)),
    ),
    UNRUNNABLE_FIRST: (Arrangement("500 tenants x 1,000, 1,000 unrunnable jobs first", range(1, 1001)),),
    ODD_AND_EVEN: (Arrangement("1,000 tenants x 500, only the second half's", range(2, 1001, 2)),),
    ONE_OF_MANY_REQUIREMENTS: (
        Arrangement("one tenant x 10,000, 100 unrunnable jobs first", range(1, 10_001)),
        Arrangement("one tenant x 10,000, every other runnable", range(2, 10_001, 2)),
    ),
}


async def fill(sql: asyncpg.Connection, queue: Queue, number: int) -> None:
    await sql.execute(CLEAR)
    await sql.execute(MAKE_TENANTS.format(tenants=queue.tenants))
    parts = {name: text.format(jobs=number) for name, text in queue._asdict().items() if name != "tenants"}
    await sql.execute(MAKE_JOBS.format(jobs=number, **parts), timeout=900)
    for statement in FINISH:
        await sql.execute(statement, timeout=900)


async def select_now(connection: Connection, runnable: Sequence[int], node: str = NODE) -> UUID | None:
    """Select a job as the scheduler does, but without its one-second caches."""
    tenants = await claims.find_tenants_with_jobs(connection, runnable, node=node)
    tenant = await claims.lock_next_tenant(connection, tenants) if tenants else None
    found = await claims.lock_first_job(connection, tenant, runnable, node=node) if tenant else None
    return found.job.id if found else None


async def select_as_before(connection: Connection, runnable: Sequence[int]) -> UUID | None:
    """Select a job as the scheduler did before decision 0056."""
    pick_tenant, pick_job = PAST_PICKS
    tenant = await connection.fetchval(pick_tenant, list(runnable), NODE)
    return await connection.fetchval(pick_job, list(runnable), NODE, tenant) if tenant else None


class WarmSelection:
    """Selects a job as the scheduler does for a node that has loaded a model."""

    def __init__(self, fleet: FleetState) -> None:
        self._fleet, self._loaded = fleet, LoadedModels(forget_after_s=3600)
        self._placer = JobPlacer(fleet, self._loaded, bound_s=30)

    async def select(self, connection: Connection, runnable: Sequence[int]) -> UUID | None:
        self._loaded.record_claim("another node", self._fleet.get_models(runnable[0]))
        self._loaded.record_claim(NODE, self._fleet.get_models(runnable[-1]))
        search = TenantSearch(await claims.find_tenants_with_jobs(connection, runnable, node=NODE), runnable, NODE)
        turn = await self._placer.lock_next_tenant(connection, search, node=NODE) if search.tenants else None
        found = await self._placer.lock_job(connection, turn, search) if turn else None
        return found.job.id if found else None


async def measure_selection(database: Database, fleet: FleetState, arrangement: Arrangement, rounds: int) -> None:
    """Print a line, after checking that the first and the last select the same job."""
    found: dict[str, set[UUID | None]] = {}
    line = [f"{arrangement.name:<52}"]
    few = min(rounds, 5)
    sides = {
        "now": (select_now, rounds),
        "warm": (WarmSelection(fleet).select, rounds),
        "before": (select_as_before, few),
    }
    for name, (select, times) in sides.items():
        values = []
        try:
            for _ in range(times):
                async with database.transaction() as connection:
                    transaction = connection.transaction()
                    await transaction.start()
                    began = perf_counter()
                    found.setdefault(name, set()).add(await select(connection, arrangement.runnable))
                    values.append((perf_counter() - began) * 1e3)
                    await transaction.rollback()
        except (asyncpg.QueryCanceledError, TimeoutError):
            line.append(f"{'-':>8} {'-':>8}")
        else:
            line.append(f"{statistics.median(values):8.2f} {max(values):8.2f}")
    is_same = len({job for name in ("now", "before") for job in found.get(name, ())}) <= 1
    print(*line, "" if is_same else f"different jobs: {found}", flush=True)


async def measure(number: int, rounds: int, only: str) -> None:
    """Print a table."""
    server = PostgresServer()
    try:
        await server.create()
        url = await server.create_database("scheduler")
        sql = await asyncpg.connect(url.replace("+asyncpg", ""))
        await sql.execute(
            "INSERT INTO requirements (digest, needs)"
            " SELECT n::text, ARRAY['Loader.model=' || n || '.safetensors'] FROM generate_series(1, 10001) n"
        )
        database = Database(url, name="load")
        fleet = FleetState(database, offline_after_s=15, forget_after_s=60, catalog_grace_s=30)
        await fleet.load_new_requirements()
        print(f"{number:,} jobs, ms: median and maximum{'':>30} now {'':>10} model loaded {'':>3} before 0056")
        for queue, all_arrangements in QUEUES.items():
            arrangements = [one for one in all_arrangements if only in one.name]
            if not arrangements:
                continue
            await fill(sql, queue, number)
            began = perf_counter()
            async with database.connection() as connection:
                found = await claims.list_waiting_requirements(connection)
            print(f"{len(found)} requirements listed in {(perf_counter() - began) * 1e3:.2f} ms, once a second at most")
            for arrangement in arrangements:
                await sql.execute(arrangement.change)
                await measure_selection(database, fleet, arrangement, rounds)
        await sql.close()
        await database.close()
    finally:
        server.remove()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    asyncio.run(measure(arguments.jobs, arguments.rounds, arguments.only))


if __name__ == "__main__":
    main()
