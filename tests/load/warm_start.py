"""Measures how long ``./dev up`` takes when it has run before.

    python -m tests.load.warm_start [--rounds 5]

From the start of the command until every service is ready, two simulated nodes included, and until a first job has run.
Baseline, in turn with it: PostgreSQL and NATS until they accept connections, and five Python interpreters that do
nothing, all at once.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from tests.kit.fleet import HELLO, ROOT, Fleet, is_ready
from tests.kit.nats import NatsServer
from tests.kit.postgres import PostgresServer

TARGET_S = 3.0
INTERPRETERS = 5
WITHIN_S = 90.0
POLL_S = 0.01


async def start_system(state: Path) -> tuple[float, float]:
    """Start and stop the system; returns the seconds until it was ready, and until a job had ended."""
    began = perf_counter()
    with (state / "up.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: ASYNC220 - takes a millisecond
            [sys.executable, ROOT / "dev", "up", "--port", "0", "--step-ms", "0", "--state", state],
            stdout=log,
            stderr=log,
        )
    fleet = None
    try:
        async with asyncio.timeout(WITHIN_S):
            while not is_ready(state, process.pid):
                if process.poll() is not None:
                    raise RuntimeError((state / "up.log").read_text()[-2000:])
                await asyncio.sleep(POLL_S)
        ready_s = perf_counter() - began
        fleet = Fleet(state, json.loads((state / "credentials.json").read_text()), process)
        async with fleet.client() as client:
            job = await fleet.submit(client, workflow=HELLO)
            await fleet.wait_until_ended(client, job["job_id"])
        return ready_s, perf_counter() - began
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)


async def start_bare(nats: NatsServer, postgres: PostgresServer) -> float:
    """Start and stop the baseline; returns the seconds until everything had started."""
    began = perf_counter()
    interpreters = [await asyncio.create_subprocess_exec(sys.executable, "-c", "pass") for _ in range(INTERPRETERS)]
    await asyncio.gather(nats.start(), postgres.start(), *(process.wait() for process in interpreters))
    took_s = perf_counter() - began
    nats.kill()
    postgres.kill()
    return took_s


async def measure(rounds: int) -> None:
    """Alternate both sides and print their times."""
    nats, postgres = NatsServer(), PostgresServer()
    times: dict[str, list[float]] = {"bare": [], "ready": [], "first job": []}
    try:
        await postgres.create()
        postgres.kill()
        with tempfile.TemporaryDirectory(prefix="comfyfleet-start-") as folder:
            first_s, _ = await start_system(Path(folder))
            for _ in range(rounds):
                times["bare"].append(await start_bare(nats, postgres))
                ready_s, first_job_s = await start_system(Path(folder))
                times["ready"].append(ready_s)
                times["first job"].append(first_job_s)
    finally:
        nats.remove()
        postgres.remove()
    print(f"first start of a new state directory: {first_s:.2f} s")
    for name, values in times.items():
        listed = " ".join(f"{value:.2f}" for value in values)
        print(f"{name:10} median {statistics.median(values):5.2f} s   [{listed}]")
    print(f"target: ready within {TARGET_S:g} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    asyncio.run(measure(parser.parse_args().rounds))


if __name__ == "__main__":
    main()
