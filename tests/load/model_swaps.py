"""Measures how many jobs make a node change its model, with and without warm placement.

    python -m tests.load.model_swaps [--nodes 2] [--models 4] [--jobs 80] [--tenants 3] [--seeds 5] [--bounds 0 30]

The whole system with simulated nodes. For each seed, tenants submit jobs with random models in random order, all at
once. Prints which share of all jobs needed another model than the job before it on the same node, as the ledgers of the
nodes say, and the seconds until all jobs had ended. A bound of 0 s switches warm placement off. Each part of a graph
that a node has not cached, such as its checkpoint, takes ``--node-ms``.
"""

import argparse
import asyncio
import random
import statistics
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import pairwise
from time import perf_counter
from typing import Any

import asyncpg
import httpx

from stack.ports import find_free_ports
from tests.kit.fleet import Fleet, running_fleet
from tests.kit.load_generator import running_module
from tests.kit.waiting import until

END_WITHIN_S, RETRY_PAUSE_S = 300.0, 0.5
SUBMITS_AT_ONCE = 8


def build_graph(model: str, seed: int) -> dict[str, Any]:
    return {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": model}},
        "2": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": "a"}},
        "3": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "4": {
            "class_type": "KSampler",
            "inputs": {
                "model": ["1", 0],
                "positive": ["2", 0],
                "negative": ["2", 0],
                "latent_image": ["3", 0],
                "seed": seed,
                "steps": 2,
                "cfg": 1.0,
                "sampler_name": "euler",
                "scheduler": "normal",
                "denoise": 1.0,
            },
        },
        "5": {"class_type": "VAEDecode", "inputs": {"samples": ["4", 0], "vae": ["1", 2]}},
        "6": {"class_type": "SaveImage", "inputs": {"images": ["5", 0], "filename_prefix": "swaps"}},
    }


@asynccontextmanager
async def running_system(arguments: argparse.Namespace, models: Sequence[str], bound_s: float) -> AsyncIterator[Fleet]:
    """Run nodes that have these models, and the whole system with this bound of warm placement."""
    async with AsyncExitStack() as stack:
        urls = []
        for number, port in enumerate(find_free_ports(arguments.nodes), 1):
            options = ["--port", str(port), "--name", f"node-{number}", "--node-ms", str(arguments.node_ms)]
            options += [word for model in models for word in ("--checkpoint", model)]
            url = f"http://127.0.0.1:{port}"
            await stack.enter_async_context(
                running_module(url, "simnode", "--step-ms", str(arguments.step_ms), *options)
            )
            urls += ["--comfyui", url]
        yield await stack.enter_async_context(running_fleet(*urls, SCHEDULER_WARM_BOUND_S=str(bound_s)))


async def run_jobs(
    fleet: Fleet, keys: Sequence[str], sql: asyncpg.Connection, models: Sequence[str], arguments: argparse.Namespace
) -> dict[str, str]:
    """Submit the jobs of one seed and wait until all have ended; returns their models by job id."""
    submitted: dict[str, str] = {}
    limit = asyncio.Semaphore(SUBMITS_AT_ONCE)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(fleet.client(key)) for key in keys]

        async def submit(client: httpx.AsyncClient, model: str, noise: int) -> None:
            body = {"workflow": build_graph(model, noise)}
            async with limit:
                while (
                    answer := await client.post("/jobs", json=body, headers={"Idempotency-Key": str(noise)})
                ).is_error:
                    if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                        answer.raise_for_status()
                    await asyncio.sleep(RETRY_PAUSE_S)
            submitted[answer.json()["job_id"]] = model

        async with asyncio.TaskGroup() as tasks:
            for _ in range(arguments.jobs):
                client, model, noise = random.choice(clients), random.choice(models), random.randrange(1 << 32)  # noqa: S311
                tasks.create_task(submit(client, model, noise))

    async def have_ended() -> bool:
        return not await sql.fetchval("SELECT count(*) FROM jobs WHERE completed_at IS NULL")

    await until(have_ended, within_s=END_WITHIN_S)
    failed = await sql.fetchval("SELECT count(*) FROM jobs WHERE state <> 'succeeded'")
    if failed:
        raise RuntimeError(f"{failed} jobs did not succeed")
    return submitted


async def count_changes(fleet: Fleet, sql: asyncpg.Connection, models: dict[str, str]) -> int:
    """Count the jobs whose model differs from that of the job before them on their node."""
    jobs = {
        str(row["prompt_id"]): str(row["job_id"]) for row in await sql.fetch("SELECT prompt_id, job_id FROM attempts")
    }
    changes = 0
    for ledger in await fleet.read_ledgers():
        started = sorted((one for one in ledger["prompts"] if one["started"]), key=lambda one: one["started"])
        ran = [models[jobs[one["prompt_id"]]] for one in started if jobs[one["prompt_id"]] in models]
        changes += sum(model != before for before, model in pairwise(ran))
    return changes


async def measure_bound(arguments: argparse.Namespace, models: Sequence[str], bound_s: float) -> None:
    """Print a line for one bound."""
    shares, seconds = [], []
    async with running_system(arguments, models, bound_s) as fleet:
        lines = (fleet.state / "env/scheduler.env").read_text().splitlines()
        given = dict(line.split("=", 1) for line in lines if "=" in line)
        sql = await asyncpg.connect(given["SCHEDULER_DATABASE_URL"].replace("+asyncpg", ""))
        names = [f"tenant-{number}" for number in range(arguments.tenants)]
        keys = [await asyncio.to_thread(partial(fleet.create_user, name, "enterprise")) for name in names]
        for seed in range(1, arguments.seeds + 1):
            random.seed(seed)
            began = perf_counter()
            submitted = await run_jobs(fleet, keys, sql, models, arguments)
            seconds.append(perf_counter() - began)
            shares.append(100 * await count_changes(fleet, sql, submitted) / arguments.jobs)
        await sql.close()
    print(
        f"{bound_s:7g}  {statistics.median(shares):6.1f} % {[round(share, 1) for share in shares]!s:36}"
        f"{statistics.median(seconds):7.1f} s",
        flush=True,
    )


async def measure(arguments: argparse.Namespace) -> None:
    """Print a table."""
    models = [f"model-{number}.safetensors" for number in range(arguments.models)]
    print(
        f"{arguments.nodes} nodes, {arguments.models} models, {arguments.jobs} jobs of {arguments.tenants} tenants; "
        "medians of seeds"
    )
    print("bound, s  jobs that change the model, by seed            all jobs took")
    for bound_s in arguments.bounds:
        await measure_bound(arguments, models, bound_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--models", type=int, default=4)
    parser.add_argument("--jobs", type=int, default=80)
    parser.add_argument("--tenants", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--bounds", type=float, nargs="+", default=[0, 30])
    parser.add_argument("--node-ms", type=float, default=100.0)
    parser.add_argument("--step-ms", type=float, default=50.0)
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
