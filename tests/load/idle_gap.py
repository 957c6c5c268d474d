"""Measures how busy a node is kept with a full queue, by the node's own ledger, with prefetch off and on.

    python -m tests.load.idle_gap [--jobs 30] [--seconds 1 0.5] [--round-trips-ms 0 40 100] [--node-attempts 3]

One simulated node and the whole system, without load from others. The executor reaches NATS and the gateway through a
proxy that delays both directions by half the round trip; the node is on the executor's machine. Utilization is the time
in which the node ran prompts, from the start of the first to the end of the last; the gap is from the end of a prompt
to the start of the next. The first three jobs are left out. The order of off and on alternates.
"""

import argparse
import asyncio
import os
import shutil
import signal
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx

from stack.ports import find_free_ports
from stack.processes import ForkServerClient
from tests.integration.executor.processes import ForkedProcess
from tests.kit.fleet import Fleet, running_fleet
from tests.kit.http import http_client
from tests.kit.waiting import until

PARKED_S = 8.0  # a waiting request of the stopped executor has ended by then
WARM_UP = 3


class DelayingProxy:
    """Forwards TCP connections to ``target`` (host, port) and delivers every byte ``delay_s`` late."""

    def __init__(self) -> None:
        self.target = ("127.0.0.1", 0)
        self.delay_s = 0.0
        (self.port,) = find_free_ports(1)
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", self.port)

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection(*self.target)
        await asyncio.gather(self._copy(reader, upstream_writer), self._copy(upstream_reader, writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read immediately and write after the delay, so that the delays of consecutive chunks do not add up."""
        clock = asyncio.get_running_loop().time
        transit: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def deliver() -> None:
            while True:
                due_at, data = await transit.get()
                await asyncio.sleep(max(due_at - clock(), 0))
                if not data:
                    writer.close()
                    return
                writer.write(data)

        delivering = asyncio.create_task(deliver())
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                transit.put_nowait((clock() + self.delay_s, data))
        transit.put_nowait((clock() + self.delay_s, b""))
        with suppress(OSError):
            await delivering


def graph(seconds: float, number: int) -> dict[str, Any]:
    return {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": number}},
        "2": {"class_type": "SimSleep", "inputs": {"image": ["1", 0], "seconds": seconds}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "load/img"}},
    }


def read_environment(fleet: Fleet, service: str) -> dict[str, str]:
    lines = (fleet.state / f"env/{service}.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


@asynccontextmanager
async def running_executor(
    fleet: Fleet, forking: ForkServerClient, nats: DelayingProxy, *, prefetch: bool
) -> AsyncIterator[None]:
    """Run an executor of the node behind the proxy."""
    folder, (port, metrics_port) = Path(tempfile.mkdtemp(prefix="comfyfleet-idle-gap-")), find_free_ports(2)
    environment = {
        name: value for name, value in read_environment(fleet, "executor-1").items() if name.startswith("EXECUTOR_")
    } | {
        "EXECUTOR_NATS_URL": f"nats://127.0.0.1:{nats.port}",
        "EXECUTOR_JOURNAL_PATH": str(folder / "journal.db"),
        "EXECUTOR_PORT": str(port),
        "EXECUTOR_METRICS_PORT": str(metrics_port),
        "EXECUTOR_PREFETCH": str(int(prefetch)),
        "EXECUTOR_ON_STOP": "hand_back",
        "LOG_LEVEL": "ERROR",
    }
    process = ForkedProcess(forking, "executor.__main__", ["serve"], fleet.state / "logs/idle-gap.log", environment)
    await process.start()

    async def is_ready() -> bool:
        try:
            return (await client.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200
        except httpx.HTTPError:
            return False

    try:
        async with http_client() as client:
            await until(is_ready, within_s=60)
        yield
    finally:
        await process.stop(signal.SIGTERM)
        shutil.rmtree(folder, ignore_errors=True)


async def measure_one(
    fleet: Fleet,
    client: httpx.AsyncClient,
    forking: ForkServerClient,
    nats: DelayingProxy,
    *,
    case: tuple[float, bool],
    jobs: int,
) -> str:
    """Return utilization and gaps of one run."""
    seconds, prefetch = case
    before = len((await fleet.read_ledgers())[0]["prompts"])
    async with running_executor(fleet, forking, nats, prefetch=prefetch):
        for number in range(jobs + WARM_UP):
            await fleet.submit(client, workflow=graph(seconds, 10_000 * before + number))
        ended: list[dict[str, Any]] = []

        async def is_done() -> bool:
            nonlocal ended
            ended = [one for one in (await fleet.read_ledgers())[0]["prompts"][before:] if one["finished"]]
            return len(ended) >= jobs + WARM_UP

        await until(is_done, within_s=60 + 3 * jobs * seconds)
        await until(lambda: is_queue_empty(client), within_s=30)
    runs = sorted(ended, key=lambda one: one["started"])[WARM_UP:]
    busy = sum(one["finished"] - one["started"] for one in runs)
    gaps = [after["started"] - one["finished"] for one, after in pairwise(runs)]
    used = busy / (runs[-1]["finished"] - runs[0]["started"])
    failed = sum(one["outcome"] != "success" for one in runs)
    return f"{used:9.4f} {statistics.median(gaps) * 1e3:10.1f} {max(gaps) * 1e3:10.1f} {len(runs):6}" + (
        f"   {failed} FAILED" if failed else ""
    )


async def is_queue_empty(client: httpx.AsyncClient) -> bool:
    page = (await client.get("/jobs", params={"limit": 50})).json()
    return all(job["status"] in {"completed", "failed", "cancelled"} for job in page["jobs"])


async def measure(arguments: argparse.Namespace) -> None:
    """Print a table."""
    nats, gateway = DelayingProxy(), DelayingProxy()
    await nats.start()
    await gateway.start()
    internal = f"http://127.0.0.1:{gateway.port}"
    async with running_fleet(
        "--nodes",
        "1",
        "--step-ms",
        "0",
        GATEWAY_INTERNAL_URL=internal,
        SCHEDULER_NODE_ATTEMPTS=str(arguments.node_attempts),
    ) as fleet:
        gateway.target = ("127.0.0.1", int(read_environment(fleet, "gateway")["GATEWAY_PORT"]))
        nats.target = ("127.0.0.1", httpx.URL(fleet.credentials["nats_url"]).port or 4222)
        key = await asyncio.to_thread(lambda: fleet.create_user("idle-gap", "enterprise", graph_policy="open"))
        forking = ForkServerClient(fleet.state / "logs/forking.log", program="tests.kit.forking")
        await forking.start()
        os.kill(fleet.pid("executor-1"), signal.SIGSTOP)
        await asyncio.sleep(PARKED_S)
        print(
            f"{'round trip':>11} {'job s':>6} {'prefetch':>9} {'busy':>9} {'gap p50 ms':>10} {'max ms':>10} {'jobs':>6}"
        )
        async with fleet.client(key) as client:
            for round_trip_ms in arguments.round_trips_ms:
                nats.delay_s = gateway.delay_s = round_trip_ms / 2000
                for place, seconds in enumerate(arguments.seconds):
                    for prefetch in (False, True) if place % 2 == 0 else (True, False):
                        found = await measure_one(
                            fleet, client, forking, nats, case=(seconds, prefetch), jobs=arguments.jobs
                        )
                        print(f"{round_trip_ms:8} ms {seconds:6} {'on' if prefetch else 'off':>9} {found}", flush=True)
        os.kill(fleet.pid("executor-1"), signal.SIGCONT)
        await forking.close()
    nats.stop()
    gateway.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=30)
    parser.add_argument("--seconds", type=float, nargs="+", default=[1.0, 0.5])
    parser.add_argument("--node-attempts", type=int, default=3)
    parser.add_argument("--round-trips-ms", type=int, nargs="+", default=[0, 40, 100])
    sys.exit(asyncio.run(measure(parser.parse_args())))
