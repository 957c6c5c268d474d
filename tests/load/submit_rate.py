"""Compares the rate of ``POST /api/v1/jobs`` by API key with a bare FastAPI route that has the same Pydantic body.

    python -m tests.load.submit_rate [--rounds 5] [--seconds 3] [--connections 16] [--real URL]

The sides alternate in one run, each with a load generator in a separate process: a bare route on default uvicorn, which
is the reference of the target; the same with our server settings; the simulated node's own ``/prompt``; that of a real
ComfyUI if ``--real`` names one; the gateway of a running system; and the same through the development proxy.

Nothing is switched off: the user's limits (quota, queue, requests) are counted and every job is durable. Only the
submit path runs: every node is busy with one endless job, so submitted jobs wait. For the gateway the CPU time of each
process per submit is printed.
"""

import argparse
import asyncio
import json
import os
import statistics
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from chassis.settings import ServiceSettings
from contracts.gateway.submissions import Submission
from stack.ports import find_free_ports
from tests.kit.fleet import ROOT, Fleet, running_fleet
from tests.kit.load_generator import Load, find_gateway_url, run_load_generator, running_module, serve_bare
from tests.kit.waiting import until

TARGET = 0.15
PLENTY = 2**31 - 1
STEP_MS = 3_600_000  # a busy node stays busy
ENDLESS = json.loads((ROOT / "deploy/stack/demo_workflow.json").read_text())
GRAPH: dict[str, Any] = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 48, "batch_size": 2, "color": 16746496}},
    "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
    "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "load/img"}},
}
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Side:
    """One side of the comparison: URL, key, body, and the supervisor's folder if CPU times are measured."""

    url: str
    body: dict[str, Any]
    key: str = ""
    counted: bool = False
    rates: list[float] = field(default_factory=list)
    cpu_ms: dict[str, list[float]] = field(default_factory=dict)


def bare_app(_: ServiceSettings | None = None) -> FastAPI:
    """Return an application with a route that accepts the same body and returns a response of about the same size."""
    app = FastAPI()
    job = "http://127.0.0.1:8000/api/v1/jobs/0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee"

    @app.post("/bare", status_code=201)
    async def bare(submission: Submission) -> dict[str, Any]:
        return {
            "job_id": "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee", "status": "pending", "progress": 0, "queue_position": 1,
            "eta_seconds": None, "attempt": 0, "created_at": "2026-11-23T09:00:00Z", "started_at": None,
            "completed_at": None, "timings": {"queued_seconds": 0, "running_seconds": None, "total_seconds": None},
            "labels": submission.labels, "outputs": [], "error": None, "warnings": [],
            "urls": {"self": job, "events": f"{job}/events", "ws": job, "result": f"{job}/result",
                     "cancel": f"{job}/cancel"},
        }  # fmt: skip

    return app


def measure_cpu_seconds(fleet: Fleet) -> dict[str, float]:
    """Return the CPU seconds of every process of the system, including child processes."""
    parts = {pid: name for name, pid in json.loads((fleet.state / "processes.json").read_text()).items()}
    parents, seconds = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just exited
        pid = int(stat.parent.name)
        parents[pid], seconds[pid] = int(fields[1]), sum(map(int, fields[11:13])) * TICK_S
    found = dict.fromkeys(parts.values(), 0.0)
    for pid, taken in seconds.items():
        above: int | None = pid
        while above is not None and above not in parts:
            above = parents.get(above)
        if above is not None:
            found[parts[above]] += taken
    return found


@asynccontextmanager
async def keep_node_busy(fleet: Fleet) -> AsyncIterator[None]:
    """Give the user limits that are counted but never reached, and the node an endless job."""
    limits = {"images_per_day": PLENTY, "max_running": PLENTY, "queue_cap": PLENTY, "requests_per_minute": 1_000_000}
    async with fleet.client(fleet.credentials["admin_key"]) as client:
        answer = await client.patch(f"/admin/users/{fleet.credentials['demo_user_id']}", json={"limits": limits})
        answer.raise_for_status()
        job = await fleet.submit(client, workflow=ENDLESS)

        async def begun() -> bool:
            return bool((await client.get(f"/jobs/{job['job_id']}")).json()["status"] == "processing")

        await until(begun)
        yield
        await client.delete(f"/jobs/{job['job_id']}")  # otherwise a stopping executor waits for the endless job


async def measure(arguments: argparse.Namespace) -> None:
    """Alternate all sides and print their rates."""
    bare_port, served_port, node_port = find_free_ports(3)
    bare, served, node = (f"http://127.0.0.1:{port}" for port in (bare_port, served_port, node_port))
    async with (
        running_fleet("--nodes", "1", "--step-ms", str(STEP_MS)) as fleet,
        running_module(bare, "tests.load.submit_rate", "--bare", str(bare_port)),
        running_module(served, "tests.load.submit_rate", "--served", BARE_PORT=str(served_port), LOG_LEVEL="ERROR"),
        running_module(node, "simnode", "--port", str(node_port), "--step-ms", str(STEP_MS)),
        httpx.AsyncClient(trust_env=False) as client,
        keep_node_busy(fleet),
    ):
        (await client.post(f"{node}/prompt", json={"prompt": ENDLESS})).raise_for_status()
        gateway = f"{find_gateway_url(fleet)}/api/v1/jobs"
        submission = {"workflow": GRAPH}
        sides = {
            "bare": Side(f"{bare}/bare", submission),
            "bare, our server": Side(f"{served}/bare", submission),
            "node's own /prompt": Side(f"{node}/prompt", {"prompt": GRAPH}),
            "submit": Side(gateway, submission, fleet.key, counted=True),
            "submit, by proxy": Side(f"{fleet.base_url}/api/v1/jobs", submission, fleet.key),
        }
        if real := arguments.real:
            sides["real /prompt"] = Side(f"{real}/prompt", {"prompt": GRAPH})
        for number in range(arguments.rounds + 1):
            for side in sides.values():
                before = measure_cpu_seconds(fleet)
                load = Load([side.url], side.key, side.body, arguments.connections, arguments.seconds)
                result = await run_load_generator(load)
                if side is sides.get("real /prompt"):  # otherwise it would run the queued prompts
                    (await client.post(f"{real}/queue", json={"clear": True})).raise_for_status()
                if not number:  # the first round is a warm-up
                    continue
                side.rates.append(result.rate)
                for name, seconds in measure_cpu_seconds(fleet).items():
                    side.cpu_ms.setdefault(name, []).append((seconds - before[name]) / result.number * 1000)
    print_results(sides, arguments)


def print_results(sides: dict[str, Side], arguments: argparse.Namespace) -> None:
    """Print rates, ratios and CPU time per submit."""
    median: Callable[[list[float]], float] = statistics.median
    print(f"{arguments.connections} connections, {arguments.rounds} rounds of {arguments.seconds} s")
    bare = median(sides["bare"].rates)
    for name, side in sides.items():
        rounds = " ".join(f"{rate:6.0f}" for rate in side.rates)
        print(f"{name:20} {median(side.rates):7.0f}/s  {median(side.rates) / bare:5.3f} x bare   [{rounds}]")
    if "real /prompt" in sides:
        print(f"submit: {median(sides['submit'].rates) / median(sides['real /prompt'].rates):.2f} x a real /prompt")
    print(f"target: {TARGET:.2f} x bare, or 1.5 x a real /prompt; CPU time of one submit, ms:")
    for side in sides.values():
        if side.counted:
            costs = {name: median(values) for name, values in side.cpu_ms.items()}
            for name, cost in sorted(costs.items(), key=lambda item: -item[1]):
                print(f"  {name:14} {cost:7.3f}")
            print(f"  {'all':14} {sum(costs.values()):7.3f}")


def main() -> None:
    """Run the benchmark, or a bare server."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--real", help="URL of a real ComfyUI; its queue is cleared")
    parser.add_argument("--bare", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--served", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.bare:
        uvicorn.run(bare_app(), port=arguments.bare, log_level="error", access_log=False)
    elif arguments.served:
        serve_bare(bare_app)
    else:
        asyncio.run(measure(arguments))


if __name__ == "__main__":
    main()
