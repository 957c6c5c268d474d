"""Compares the latency of a zero-work job through comfyfleet with the same job sent directly to its node.

    python -m tests.load.added_latency [--rounds 100]

Both sides alternate in one run on an idle fleet. Measured from ``POST`` until all bytes of the result have arrived.
Direct: ``POST /prompt``, the node's WebSocket until the end, ``/history``, ``/view``. Through comfyfleet: ``POST
/api/v1/jobs``, its WebSocket until the end, ``/result``.
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


async def straight(node: httpx.AsyncClient, url: str, color: int) -> bytes:
    """Run one job directly on the node."""
    client_id = uuid.uuid4().hex
    async with connect(f"{url.replace('http', 'ws', 1)}/ws?clientId={client_id}") as socket:
        answer = await node.post("/prompt", json={"prompt": graph(color), "client_id": client_id})
        prompt_id = answer.json()["prompt_id"]
        async for message in socket:
            frame = json.loads(message)
            if frame["type"] == "executing" and frame["data"]["node"] is None:
                break
    entry = (await node.get(f"/history/{prompt_id}")).json()[prompt_id]
    (file,) = entry["outputs"]["3"]["images"]
    return (await node.get("/view", params=file)).content


async def through(fleet: Fleet, client: httpx.AsyncClient, color: int) -> bytes:
    """Run one job through comfyfleet."""
    job = (await client.post("/jobs", json={"workflow": graph(color)})).json()
    async with fleet.watch(job["job_id"], key=fleet.credentials["admin_key"]) as socket:
        async for message in socket:
            if json.loads(message)["type"] == "end":
                break
    return (await client.get(f"/jobs/{job['job_id']}/result")).content


async def measure(rounds: int) -> None:
    """Alternate both sides and print their latencies."""
    took: dict[str, list[float]] = {"straight": [], "through": []}
    async with (
        running_fleet("--nodes", "1", "--step-ms", "0") as fleet,
        fleet.client(fleet.credentials["admin_key"]) as client,
        httpx.AsyncClient(base_url=fleet.nodes[0]) as node,
    ):
        for number in range(rounds + WARM_UP):
            for name, values in took.items():
                began = perf_counter()
                if name == "straight":
                    content = await straight(node, fleet.nodes[0], 2 * number)
                else:
                    content = await through(fleet, client, 2 * number + 1)
                if number >= WARM_UP:
                    values.append((perf_counter() - began) * 1000)
                if not content.startswith(b"\x89PNG"):
                    raise ValueError(content[:200])
    for name, values in took.items():
        cuts = statistics.quantiles(values, n=100)
        print(f"{name:9} p50 {cuts[49]:7.1f} ms   p95 {cuts[94]:7.1f} ms   p99 {cuts[98]:7.1f} ms   n={len(values)}")
    added = [b - a for a, b in zip(took["straight"], took["through"], strict=True)]
    print(f"added     p50 {statistics.median(added):7.1f} ms   (target: at most 25)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    asyncio.run(measure(parser.parse_args().rounds))
