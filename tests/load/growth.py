"""Measures what one job adds to tables, streams and the artifact folder, and how fast expired rows are deleted.

    python -m tests.load.growth [--jobs 500] [--nodes 3] [--rows 1000000]

First part: a running system with simulated nodes. The first wave of jobs warms up; then all tables are vacuumed, so
that space of old row versions is used again, as it is after hours. The second wave is measured: growth of every table
with its indexes after another vacuum, growth of streams and files, write-ahead log, CPU time of every process, and
connections. Figures are per job; each job has one image of 64 x 64 pixels, an idempotency key and a label.

Second part: the scheduler's and the notifier's tables with many rows, one per cent of them expired. Prints the time per
batch of deletions, and of a transaction of the size of a submission meanwhile.
"""

import argparse
import asyncio
import statistics
from collections import Counter
from datetime import timedelta
from functools import partial
from time import perf_counter
from uuid import uuid4

import asyncpg
import httpx

from chassis.database.postgres import Database
from contracts.registry import DATABASES
from notifier.store.events import EventStore
from scheduler.usecases.purge_jobs import JobPurger
from stack.credentials import Secrets
from stack.layout import StateLayout
from tests.kit.fleet import ENDED, Fleet, running_fleet
from tests.kit.postgres import PostgresServer
from tests.kit.waiting import until
from tests.load.submit_rate import PLENTY, measure_cpu_seconds

PICTURE = {"prompt": "a lighthouse at dusk, oil on canvas", "width": 64, "height": 64, "steps": 2}
AT_ONCE = 8
SIZES = """
SELECT c.relname AS name, pg_table_size(c.oid) AS bytes, pg_indexes_size(c.oid) AS index_bytes
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public' AND c.relkind = 'r'
"""
CONNECTIONS = """
SELECT usename AS service, count(*) AS open, count(*) FILTER (WHERE state <> 'idle') AS busy
FROM pg_stat_activity WHERE usename = ANY($1::text[]) AND datname IS NOT NULL GROUP BY usename
"""


class Ledger:
    """Reads sizes of a running system as PostgreSQL's superuser and from NATS's monitoring page."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        lines = (fleet.state / "env/auth.env").read_text().splitlines()
        url = next(line.split("=", 1)[1] for line in lines if "DATABASE_URL=" in line)
        self._address = url.rpartition("@")[2].rpartition("/")[0]
        self._password = Secrets.load(StateLayout(fleet.state).secrets_file).get_or_create_password(
            "postgres-superuser"
        )
        nats = (fleet.state / "nats/nats.conf").read_text()
        self._monitor = next(line.split()[-1].strip('"') for line in nats.splitlines() if line.startswith("http"))

    async def connect(self, database: str) -> asyncpg.Connection:
        return await asyncpg.connect(f"postgresql://postgres:{self._password}@{self._address}/{database}")

    async def read_tables(self) -> dict[str, int]:
        """Vacuum; bytes of every table, and of its indexes under ``name (indexes)``."""
        found = {}
        for service in DATABASES:
            sql = await self.connect(service)
            await sql.execute("VACUUM")
            for row in await sql.fetch(SIZES):
                found[f"{service}.{row['name']}"] = row["bytes"]
                found[f"{service}.{row['name']} (indexes)"] = row["index_bytes"]
            await sql.close()
        return found

    async def read_streams(self) -> dict[str, int]:
        async with httpx.AsyncClient(trust_env=False) as client:
            page = (await client.get(f"http://{self._monitor}/jsz?streams=true&accounts=true")).json()
        streams = [one for account in page.get("account_details", ()) for one in account.get("stream_detail", ())]
        return {f"stream {one['name']}": one["state"]["bytes"] for one in streams}

    def read_files(self) -> dict[str, int]:
        folder = self._fleet.state / "artifacts"
        return {"artifacts": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())}

    async def read_all(self) -> dict[str, int]:
        sql = await self.connect("postgres")
        wal = await sql.fetchval("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")
        await sql.close()
        return {
            "write-ahead log": int(wal), **await self.read_tables(), **await self.read_streams(), **self.read_files()
        }  # fmt: skip


async def watch_connections(ledger: Ledger, highest: dict[str, Counter[str]]) -> None:
    sql = await ledger.connect("postgres")
    while True:
        for row in await sql.fetch(CONNECTIONS, list(DATABASES)):
            for kind in ("open", "busy"):
                highest[kind][row["service"]] = max(highest[kind][row["service"]], row[kind])
        await asyncio.sleep(0.1)


async def run_wave(client: httpx.AsyncClient, number: int) -> None:
    """Submit jobs and wait until all have ended."""
    waiting: set[str] = set()

    async def submit(count: int) -> None:
        for _ in range(count):
            headers = {"Idempotency-Key": str(uuid4())}
            answer = await client.post("/jobs", json={**PICTURE, "labels": {"order": str(uuid4())}}, headers=headers)
            answer.raise_for_status()
            waiting.add(answer.json()["job_id"])

    async def have_ended() -> bool:
        page = (await client.get("/jobs", params={"limit": 100, "status": "pending"})).json()["jobs"]
        page += (await client.get("/jobs", params={"limit": 100, "status": "processing"})).json()["jobs"]
        return not [job for job in page if job["status"] not in ENDED]

    await asyncio.gather(*(submit(number // AT_ONCE) for _ in range(AT_ONCE)))
    await until(have_ended, within_s=1800)


async def measure_jobs(jobs: int, nodes: int) -> None:
    """Print bytes, CPU and connections per job."""
    async with running_fleet("--nodes", str(nodes), "--step-ms", "1") as fleet, fleet.client() as client:
        limits = {"images_per_day": PLENTY, "max_running": PLENTY, "queue_cap": PLENTY}
        fleet.set_limits(fleet.credentials["demo_user_id"], requests_per_minute=1_000_000, **limits)
        ledger, highest = Ledger(fleet), {"open": Counter[str](), "busy": Counter[str]()}
        await run_wave(client, jobs)
        before = await ledger.read_all()
        cpu, began = measure_cpu_seconds(fleet), perf_counter()
        watching = asyncio.create_task(watch_connections(ledger, highest))
        await run_wave(client, jobs)
        seconds = perf_counter() - began
        watching.cancel()
        used = {name: taken - cpu.get(name, 0.0) for name, taken in measure_cpu_seconds(fleet).items()}
        after = await ledger.read_all()
    count = jobs // AT_ONCE * AT_ONCE
    print_jobs(before, after, count)
    print(f"\n{count} jobs in {seconds:.0f} s: {count / seconds:.1f} jobs/s\n\nCPU of a process, ms per job")
    for name, taken in sorted(used.items(), key=lambda item: -item[1]):
        print(f"  {name:<14}{taken / count * 1e3:8.2f}")
    print("\nconnections to PostgreSQL, highest      open  busy")
    for service in DATABASES:
        print(f"  {service:<36}{highest['open'][service]:6}{highest['busy'][service]:6}")


def print_jobs(before: dict[str, int], after: dict[str, int], count: int) -> None:
    """Print the growth of tables, streams and files, in bytes per job."""
    grown = {name: (value - before.get(name, 0)) / count for name, value in after.items()}
    print(f"{'bytes per job':<44}{'data':>8}{'indexes':>9}")
    for name in sorted(grown):
        indexes = grown.get(f"{name} (indexes)", 0)
        if "(indexes)" not in name and (grown[name] or indexes):
            print(f"  {name:<42}{grown[name]:8.0f}{indexes:9.0f}")
    for service in DATABASES:
        total = sum(value for name, value in grown.items() if name.startswith(f"{service}."))
        print(f"  {service}, all{'':<{36 - len(service)}}{total:9.0f}")


FILL_SCHEDULER = (
    """INSERT INTO tenants (id, tier, is_active, weight, result_days)
    SELECT lpad(to_hex(n), 32, '0')::uuid, 'pro', true, 1, 30 FROM generate_series(1, {tenants}) n""",
    "INSERT INTO requirements (digest, needs) VALUES ('x', '{{}}')",
    """INSERT INTO jobs (id, tenant_id, state, priority, workflow, labels, requirement_id, images, usage_day, attempt,
        seq, request_hash, completed_at)
    SELECT lpad(to_hex(n), 32, '0')::uuid, lpad(to_hex(1 + n % {tenants}), 32, '0')::uuid, 'succeeded', 0, 'w', '{{}}',
        1, 1, now()::date, 1, 4, 'h', now() - CASE WHEN n % 100 = 0 THEN interval '31 days' ELSE interval '1 day' END
    FROM generate_series(1, {rows}) n""",
    "INSERT INTO graphs (job_id, graph) SELECT id, '{{}}' FROM jobs",
    """INSERT INTO job_events (job_id, seq, event) SELECT id, 1, '{{}}' FROM jobs""",
    "VACUUM ANALYZE",
)
FILL_NOTIFIER = (
    """INSERT INTO job_events (job_id, seq, tenant_id, state, body, at)
    SELECT lpad(to_hex(n), 32, '0')::uuid, 1, gen_random_uuid(), 'queued', '{{}}',
        now() - CASE WHEN n % 100 = 0 THEN interval '4 days' ELSE interval '1 hour' END
    FROM generate_series(1, {rows}) n""",
    "VACUUM ANALYZE",
)
SUBMIT = """
WITH locked AS (SELECT id FROM tenants WHERE id = $1 FOR UPDATE)
INSERT INTO jobs (id, tenant_id, state, priority, workflow, labels, requirement_id, images, usage_day, seq,
    request_hash)
SELECT gen_random_uuid(), id, 'queued', 0, 'w', '{}', 1, 1, now()::date, 1, 'h' FROM locked
"""


async def measure_deletion(rows: int, tenants: int = 10_000) -> None:
    """Print rates of deletion at a small and at a large number of rows."""
    server = PostgresServer()
    try:
        await server.create()
        print(
            f"\n{'deletion at rows':<26}{'expired':>9}{'seconds':>9}{'rows/s':>9}{'insert meanwhile, p50 / max ms':>33}"
        )
        for number in (rows // 10, rows):
            for service, statements in (("scheduler", FILL_SCHEDULER), ("notifier", FILL_NOTIFIER)):
                url = await server.create_database(service)
                sql = await asyncpg.connect(url.replace("+asyncpg", ""))
                for statement in statements:
                    await sql.execute(statement.format(rows=number, tenants=tenants), timeout=1800)
                database = Database(url, name="load")
                delete = JobPurger(database).purge_expired_jobs
                if service == "notifier":
                    delete = partial(EventStore(database).prune_events, older_than=timedelta(days=3))
                began, deleting, inserts = perf_counter(), asyncio.create_task(delete()), []
                while not deleting.done():
                    if service == "scheduler":
                        inserted = perf_counter()
                        await sql.execute(SUBMIT, (await sql.fetchval("SELECT id FROM tenants LIMIT 1")))
                        inserts.append((perf_counter() - inserted) * 1e3)
                    await asyncio.sleep(0.005)
                await deleting
                seconds, expired = perf_counter() - began, number // 100
                shown = f"{statistics.median(inserts):.1f} / {max(inserts):.1f}" if inserts else ""
                print(f"  {service:<12}{number:>12}{expired:>9}{seconds:>9.2f}{expired / seconds:>9.0f}{shown:>33}")
                await sql.close()
                await database.close()
    finally:
        server.remove()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=500, help="0 leaves out the first part")
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1_000_000, help="0 leaves out the second part")
    arguments = parser.parse_args()
    if arguments.jobs:
        asyncio.run(measure_jobs(arguments.jobs, arguments.nodes))
    if arguments.rows:
        asyncio.run(measure_deletion(arguments.rows))


if __name__ == "__main__":
    main()
