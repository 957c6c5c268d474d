"""Measures ``GET /api/v1/jobs/{id}`` by many clients once a second each, while other clients submit at a given rate.

    python -m tests.load.pollers [--pollers 1000] [--seconds 15] [--connections 16]

The pollers are one process with one connection and one waiting job per poller; the submitters are another process.
Three rounds: without submits, with half the rate that this machine can do without pollers, and with the maximum rate.
The latency of a read counts from when it was due, so a late read delays the following ones.
"""

import argparse
import asyncio

from tests.kit.fleet import running_fleet
from tests.kit.load_generator import Load, LoadResult, find_gateway_url, run_load_generator
from tests.load.submit_rate import GRAPH, STEP_MS, keep_node_busy, measure_cpu_seconds

TARGET_MS = 100


def line(name: str, result: LoadResult) -> str:
    """Format rate and percentiles."""
    p50, p99, most = result.p50_s * 1000, result.p99_s * 1000, result.max_s * 1000
    return f"{name:28} {result.rate:7.0f}/s  p50 {p50:7.1f} ms  p99 {p99:7.1f} ms  most {most:7.1f} ms"


async def measure(arguments: argparse.Namespace) -> None:
    """Run all rounds and print the latencies of the pollers."""
    async with running_fleet("--nodes", "1", "--step-ms", str(STEP_MS)) as fleet, keep_node_busy(fleet):
        jobs = f"{find_gateway_url(fleet)}/api/v1/jobs"
        async with fleet.client() as client:
            made = [await fleet.submit(client, workflow=GRAPH) for _ in range(arguments.pollers)]
        reads = [f"{jobs}/{job['job_id']}" for job in made]
        polling = Load(reads, fleet.key, connections=arguments.pollers, seconds=arguments.seconds, every_s=1.0)
        alone = await run_load_generator(Load([jobs], fleet.key, {"workflow": GRAPH}, arguments.connections, 5))
        print(line("submits alone", alone), flush=True)
        for share in (0.0, 0.5, 1.0):
            every_s = arguments.connections / (alone.rate * share) if 0 < share < 1 else 0.0
            submitting = Load(
                [jobs], fleet.key, {"workflow": GRAPH}, arguments.connections, arguments.seconds + 2, every_s
            )
            before = measure_cpu_seconds(fleet)
            reading = asyncio.create_task(run_load_generator(polling))
            submits = await run_load_generator(submitting) if share else None
            print(line(f"reads, submits at {share:.0%}", await reading), flush=True)
            if submits:
                print(line("  the submits", submits), flush=True)
            used = {name: seconds - before[name] for name, seconds in measure_cpu_seconds(fleet).items()}
            print("  CPU seconds:", {name: round(taken, 1) for name, taken in used.items() if taken > 0.5}, flush=True)
    print(f"target: p99 of reads under {TARGET_MS} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pollers", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--connections", type=int, default=16)
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
