"""Compares the latency of a zero-work job through comfyfleet with the same job sent directly to its node.

    python -m tests.load.added_latency [--rounds 100]

Both sides alternate in one run on an idle fleet. Measured from ``POST`` until all bytes of the result have arrived.
Direct: ``POST /prompt``, the node's WebSocket until the end, ``/history``, ``/view``. Through comfyfleet: ``POST
/api/v1/jobs``, its WebSocket until the end, ``/result``. The median of each step is printed, too. The node's WebSocket
is opened before the prompt is posted, that of comfyfleet after the submission, since it belongs to a job.
"""

import argparse
import asyncio
import json
import statistics
import uuid
from time import perf_counter
from typing import Any

import httpx
from websockets.asyncio.client import connect

from tests.kit.fleet import Fleet, running_fleet

WARM_UP = 5


def graph(color: int) -> dict[str, Any]:
    """Return a graph of three nodes with almost no work, different each time so that nothing is cached."""
    return {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": color}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "load/img"}},
    }


class StepTimer:
    """Milliseconds that each step of one job took."""

    def __init__(self) -> None:
        self.took_ms: dict[str, float] = {}
        self._last = perf_counter()

    def end(self, step: str) -> None:
        now = perf_counter()
        self.took_ms[step], self._last = (now - self._last) * 1000, now


async def run_on_node(node: httpx.AsyncClient, url: str, color: int, steps: StepTimer) -> bytes:
    """Run one job directly on the node."""
    client_id = uuid.uuid4().hex
    async with connect(f"{url.replace('http', 'ws', 1)}/ws?clientId={client_id}") as socket:
        steps.end("open websocket")
        answer = await node.post("/prompt", json={"prompt": graph(color), "client_id": client_id})
        prompt_id = answer.json()["prompt_id"]
        steps.end("post")
        async for message in socket:
            frame = json.loads(message)
            if frame["type"] == "executing" and frame["data"]["node"] is None:
                break
    steps.end("run")
    entry = (await node.get(f"/history/{prompt_id}")).json()[prompt_id]
    (file,) = entry["outputs"]["3"]["images"]
    steps.end("history")
    content = (await node.get("/view", params=file)).content
    steps.end("fetch")
    return content


async def run_through_comfyfleet(fleet: Fleet, client: httpx.AsyncClient, color: int, steps: StepTimer) -> bytes:
    """Run one job through comfyfleet."""
    job = (await client.post("/jobs", json={"workflow": graph(color)})).json()
    steps.end("submit")
    async with fleet.watch(job["job_id"], key=fleet.credentials["admin_key"]) as socket:
        steps.end("open websocket")
        async for message in socket:
            if json.loads(message)["type"] == "end":
                break
    steps.end("until the end")
    content = (await client.get(f"/jobs/{job['job_id']}/result")).content
    steps.end("fetch")
    return content


async def measure(rounds: int) -> None:
    """Alternate both sides and print their latencies."""
    took: dict[str, list[float]] = {"node": [], "fleet": []}
    steps: dict[str, list[StepTimer]] = {"node": [], "fleet": []}
    async with (
        running_fleet("--nodes", "1", "--step-ms", "0") as fleet,
        fleet.client(fleet.credentials["admin_key"]) as client,
        httpx.AsyncClient(base_url=fleet.nodes[0]) as node,
    ):
        for number in range(rounds + WARM_UP):
            for name, values in took.items():
                began, timed = perf_counter(), StepTimer()
                if name == "node":
                    content = await run_on_node(node, fleet.nodes[0], 2 * number, timed)
                else:
                    content = await run_through_comfyfleet(fleet, client, 2 * number + 1, timed)
                if number >= WARM_UP:
                    values.append((perf_counter() - began) * 1000)
                    steps[name].append(timed)
                if not content.startswith(b"\x89PNG"):
                    raise ValueError(content[:200])
    for name, values in took.items():
        cuts = statistics.quantiles(values, n=100)
        print(f"{name:9} p50 {cuts[49]:7.1f} ms   p95 {cuts[94]:7.1f} ms   p99 {cuts[98]:7.1f} ms   n={len(values)}")
    for name, jobs in steps.items():
        medians = {step: statistics.median(job.took_ms[step] for job in jobs) for step in jobs[0].took_ms}
        print(f"{name:9} " + ", ".join(f"{step} {median:.1f}" for step, median in medians.items()) + " ms")
    added = [b - a for a, b in zip(took["node"], took["fleet"], strict=True)]
    print(f"added     p50 {statistics.median(added):7.1f} ms   (target: at most 14)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    asyncio.run(measure(parser.parse_args().rounds))
