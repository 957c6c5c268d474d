"""Kills processes at random moments while executors hold the next job, and cancels jobs meanwhile.

    ./dev drill prefetch_kills [--jobs 60] [--kills 12] [--seed 1]

Two nodes, jobs of 10 ms to 1.2 s, ``kill -9`` of executors, scheduler, NATS and PostgreSQL in random order. It fails if
a job does not end, a job that was not cancelled is run twice or interrupted, an attempt counts as a second try, a node
has two prompts at a time, or the counters of the tenant do not match its attempts.
"""

import argparse
import asyncio
import random
import re
import sys
from collections import Counter
from contextlib import suppress
from typing import Any

import asyncpg
import httpx

from scheduler.domain.settlement import UNCOUNTED_OUTCOMES
from tests.kit.fleet import Fleet, running_fleet
from tests.kit.waiting import until

PARTS = ("executor-1", "executor-2", "executor-1", "executor-2", "scheduler", "nats", "postgres")


def graph(seconds: float, number: int) -> dict[str, Any]:
    return {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": number}},
        "2": {"class_type": "SimSleep", "inputs": {"image": ["1", 0], "seconds": seconds}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "drill/img"}},
    }


async def kill_processes(fleet: Fleet, kills: int, chance: random.Random) -> Counter[str]:
    """Kill one process after the other; each is replaced before the next one is killed."""
    killed: Counter[str] = Counter()
    for _ in range(kills):
        await asyncio.sleep(chance.uniform(0.1, 2.0))
        part = chance.choice(PARTS)
        pid = fleet.kill(part)
        await fleet.wait_until_replaced(part, pid)
        killed[part] += 1
    return killed


async def cancel_some(client: httpx.AsyncClient, jobs: list[str], chance: random.Random) -> set[str]:
    """Request the cancellation of one job in six at random moments; returns these jobs."""
    requested = set()
    for job_id in chance.sample(jobs, len(jobs) // 6):
        await asyncio.sleep(chance.uniform(0.1, 2.0))
        requested.add(job_id)
        with suppress(httpx.HTTPError):  # the request may have been handled
            await client.post(f"/jobs/{job_id}/cancel")
    return requested


async def read_database(fleet: Fleet) -> tuple[list[asyncpg.Record], list[asyncpg.Record]]:
    """Return all attempts, and the tenants whose counters are wrong."""
    lines = (fleet.state / "env/scheduler.env").read_text().splitlines()
    url = dict(line.split("=", 1) for line in lines if "=" in line)["SCHEDULER_DATABASE_URL"]
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        attempts = await connection.fetch("SELECT * FROM attempts ORDER BY job_id, attempt")
        wrong = await connection.fetch(
            """SELECT t.id, t.queued, t.running FROM tenants t WHERE t.queued <> 0 OR t.running <> 0 OR abs(
                (SELECT coalesce(sum(u.gpu_seconds), 0) FROM usage_days u WHERE u.tenant_id = t.id)
                - (SELECT coalesce(sum(a.gpu_seconds), 0) FROM attempts a WHERE a.tenant_id = t.id)) > 0.001"""
        )
    finally:
        await connection.close()
    return attempts, wrong


def find_violations(
    attempts: list[asyncpg.Record], ledgers: list[dict[str, Any]], statuses: dict[str, str], cancelled: set[str]
) -> list[str]:
    """Return a description of each violated guarantee."""
    jobs_by_prompt = {str(attempt["prompt_id"]): str(attempt["job_id"]) for attempt in attempts}
    found = [f"node with {ledger['max_running']} prompts at a time" for ledger in ledgers if ledger["max_running"] > 1]
    runs: Counter[str] = Counter()
    for entry in (entry for ledger in ledgers for entry in ledger["prompts"] if entry["started"]):
        job_id = jobs_by_prompt[entry["prompt_id"]]
        runs[job_id] += 1
        if entry["outcome"] != "success" and statuses[job_id] != "cancelled":
            found.append(f"{job_id}: its prompt ended as {entry['outcome']}")
    tries = Counter(str(one["job_id"]) for one in attempts if one["outcome"] not in UNCOUNTED_OUTCOMES)
    for job_id, status in statuses.items():
        if status != "completed" and (status != "cancelled" or job_id not in cancelled):
            found.append(f"{job_id}: {status}")
        if status == "completed" and (runs[job_id], tries[job_id]) != (1, 1):
            found.append(f"{job_id}: {runs[job_id]} runs, {tries[job_id]} tries")
    return found


async def run(arguments: argparse.Namespace) -> int:
    """Run the drill and print the results; returns the exit status."""
    chance = random.Random(arguments.seed)  # noqa: S311 - a reproducible order, no secret
    async with running_fleet("--nodes", "2", "--step-ms", "0", EXECUTOR_PREFETCH="true") as fleet:
        key = await asyncio.to_thread(lambda: fleet.create_user("prefetch", "enterprise", graph_policy="open"))
        async with fleet.client(key) as client:
            jobs = [
                (await fleet.submit(client, workflow=graph(chance.choice((0.01, chance.uniform(0.2, 1.2))), number)))[
                    "job_id"
                ]
                for number in range(arguments.jobs)
            ]
            killed, cancelled = await asyncio.gather(
                kill_processes(fleet, arguments.kills, chance), cancel_some(client, jobs, chance)
            )
            statuses = {
                job_id: (await fleet.wait_until_ended(client, job_id, within_s=180))["status"] for job_id in jobs
            }
        attempts: list[asyncpg.Record] = []
        wrong: list[asyncpg.Record] = []

        async def is_settled() -> bool:
            nonlocal attempts, wrong
            attempts, wrong = await read_database(fleet)
            return not wrong and all(attempt["ended_at"] for attempt in attempts)

        try:
            await until(is_settled, within_s=60)
        except TimeoutError:
            print("not settled:", [dict(row) for row in wrong])
        violations = find_violations(attempts, await fleet.read_ledgers(), statuses, cancelled)
        outcomes = Counter(attempt["outcome"] for attempt in attempts)
        prefetches = len(re.findall(r"is_prefetch\W+(?:\x1b\[\d+m)*true", fleet_log(fleet), re.IGNORECASE))
        ended = f"jobs {dict(Counter(statuses.values()))}, attempts {dict(outcomes)}"
        thirds = sum(attempt["slot"] > 1 for attempt in attempts)
        print(f"killed {dict(killed)}, {ended}, {prefetches} prefetched, {thirds} while the node had two attempts")
        print("\n".join(violations) or "no violations")
        return 1 if violations or wrong or not prefetches else 0


def fleet_log(fleet: Fleet) -> str:
    """Return everything that the scheduler has logged."""
    return "".join(path.read_text() for path in (fleet.state / "logs").glob("scheduler*"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=60)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    sys.exit(asyncio.run(run(parser.parse_args())))
