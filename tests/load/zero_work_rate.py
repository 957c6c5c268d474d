"""Compares the rate of zero-work jobs through comfyfleet with that of their node alone, with a full queue.

    COMFYUI_URL=http://127.0.0.1:8188 python -m tests.load.zero_work_rate [--jobs 40] [--rounds 3] [--prefetch off on]

Without ``COMFYUI_URL`` the node is simulated. Alone, a bare client keeps two prompts in flight: it posts the next one
when the node's WebSocket says that one has ended, and reads no result. Through comfyfleet, all jobs are submitted while
the executor is suspended. On both sides the first three jobs are left out, and the rate counts ends of prompts. Rounds
of the sides alternate; the printed ratio is that of the medians.
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import sys
import uuid
from collections.abc import Sequence
from time import perf_counter
from typing import Any

import httpx
from websockets.asyncio.client import connect

from tests.kit.fleet import Fleet, running_fleet

IN_FLIGHT = 2
WARM_UP = 3
POLL_S = 0.5  # reading the jobs takes CPU time from the services
COLORS = iter(range(1, 1 << 24))


def graph() -> dict[str, Any]:
    """Return a graph with almost no work, different each time so that nothing is cached."""
    return {
        "1": {
            "class_type": "EmptyImage",
            "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": next(COLORS)},
        },
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "load/img"}},
    }


def rate_of(ends: Sequence[float]) -> float:
    """Return the number of ends per second, without the first ``WARM_UP`` ends."""
    counted = sorted(ends)[WARM_UP:]
    return (len(counted) - 1) / (counted[-1] - counted[0])


async def run_on_node(node: httpx.AsyncClient, url: str, jobs: int) -> float:
    """Return the node's rate with two prompts in flight."""
    client_id = uuid.uuid4().hex
    ends: list[float] = []

    async def post() -> None:
        (await node.post("/prompt", json={"prompt": graph(), "client_id": client_id})).raise_for_status()

    async with connect(f"{url.replace('http', 'ws', 1)}/ws?clientId={client_id}", max_size=None) as socket:
        for _ in range(IN_FLIGHT):
            await post()
        posted = IN_FLIGHT
        async for message in socket:
            if isinstance(message, bytes):
                continue
            frame = json.loads(message)
            if frame["type"] == "executing" and frame["data"]["node"] is None and "prompt_id" in frame["data"]:
                ends.append(perf_counter())
                if len(ends) == jobs + WARM_UP:
                    break
                if posted < jobs + WARM_UP:
                    await post()
                    posted += 1
    return rate_of(ends)


async def run_through_comfyfleet(fleet: Fleet, client: httpx.AsyncClient, node: httpx.AsyncClient, jobs: int) -> float:
    """Return the rate at which the node ends prompts that come from comfyfleet's queue, by the node's history."""
    await node.post("/history", json={"clear": True})
    total = jobs + WARM_UP
    os.kill(fleet.pid("executor-1"), signal.SIGSTOP)
    try:
        submissions = [client.post("/jobs", json={"workflow": graph()}) for _ in range(total)]
        for answer in await asyncio.gather(*submissions):
            answer.raise_for_status()
    finally:
        os.kill(fleet.pid("executor-1"), signal.SIGCONT)

    async with asyncio.timeout(120):
        while await count_unfinished(client):  # noqa: ASYNC110 - other processes run the jobs
            await asyncio.sleep(POLL_S)
    history = (await node.get("/history", params={"max_items": total})).json()
    ends = [
        data["timestamp"] / 1000
        for entry in history.values()
        for kind, data in entry["status"]["messages"]
        if kind == "execution_success"
    ]
    if len(ends) < total:
        raise ValueError(f"{len(ends)} of {total} jobs succeeded")
    return rate_of(ends)


async def count_unfinished(client: httpx.AsyncClient) -> int:
    """Return the number of jobs that wait or run; 2 stands for more."""
    pages = [
        (await client.get("/jobs", params={"limit": 1, "status": status})).json()
        for status in ("pending", "processing")
    ]
    return sum(len(page["jobs"]) for page in pages)


async def measure_fleet(jobs: int, rounds: int, prefetch: str) -> None:
    """Print the rates and their ratio for one setting of prefetch."""
    alone: list[float] = []
    through: list[float] = []
    async with running_fleet("--nodes", "1", "--step-ms", "0", EXECUTOR_PREFETCH=str(int(prefetch == "on"))) as fleet:
        key = await new_key(fleet)
        async with (
            fleet.client(key) as client,
            httpx.AsyncClient(base_url=fleet.nodes[0], timeout=60) as node,
        ):
            for _ in range(rounds):
                alone.append(await run_on_node(node, fleet.nodes[0], jobs))
                through.append(await run_through_comfyfleet(fleet, client, node, jobs))
    ratio = statistics.median(through) / statistics.median(alone)
    ratios = [b / a for a, b in zip(alone, through, strict=True)]
    print(
        f"prefetch {prefetch:3}  alone {statistics.median(alone):6.1f}/s  through {statistics.median(through):6.1f}/s"
        f"  ratio {ratio:.3f} [{min(ratios):.3f}-{max(ratios):.3f}]  (target: at least 0.45)",
        flush=True,
    )


async def new_key(fleet: Fleet) -> str:
    return await asyncio.to_thread(lambda: fleet.create_user("zero-work", "enterprise"))


async def measure(arguments: argparse.Namespace) -> None:
    print(f"node: {os.environ.get('COMFYUI_URL', 'simulated')}")
    for prefetch in arguments.prefetch:
        await measure_fleet(arguments.jobs, arguments.rounds, prefetch)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prefetch", nargs="+", choices=["off", "on"], default=["off", "on"])
    sys.exit(asyncio.run(measure(parser.parse_args())))
