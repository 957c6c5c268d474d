"""Measures what a flood of logins costs other requests: their p99 with and without it, and auth's memory.

    python -m tests.load.login_flood [--seconds 30] [--logins 200] [--reads 20]

Half of the logins have the wrong password. Logins beyond the capacity must be refused immediately (503 or 429). Rate
limits are off (``GATEWAY_RATE_LIMIT_ENABLED=false``), so only auth's own limits apply. The flood comes from a process
with low priority, because in reality it would come from another machine. Prints one line of JSON.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter

import aiohttp
import httpx

from tests.kit.fleet import Fleet, running_fleet

PASSWORD = "three words of mine"
USERS = 50
ROUTES = ("/jobs", "/models", "/auth/me")


class PacedCalls:
    """Starts a fixed number of calls per second, without waiting for earlier ones, and records their latencies."""

    def __init__(self, call: Callable[[int], Awaitable[int]], *, a_second: float) -> None:
        self._call, self._every_s = call, 1 / a_second
        self.statuses: Counter[int] = Counter()
        self.took_ms: list[float] = []

    async def run(self, seconds: float) -> None:
        """Keep the rate for this long, then wait for the remaining responses."""
        began, number = perf_counter(), 0
        async with asyncio.TaskGroup() as calls:
            while (due := number * self._every_s) < seconds:
                await asyncio.sleep(max(0.0, began + due - perf_counter()))
                calls.create_task(self._measure_call(number))
                number += 1

    def figures(self) -> dict[str, object]:
        """Return three percentiles in milliseconds, and the number of responses by status."""
        cuts = statistics.quantiles(self.took_ms, n=100, method="inclusive")
        return {
            "p50_ms": round(cuts[49], 1),
            "p99_ms": round(cuts[98], 1),
            "max_ms": round(max(self.took_ms), 1),
            "statuses": dict(sorted(self.statuses.items())),
        }

    async def _measure_call(self, number: int) -> None:
        began = perf_counter()
        try:
            self.statuses[await self._call(number)] += 1
        except (httpx.HTTPError, aiohttp.ClientError):
            self.statuses[0] += 1  # no response
        self.took_ms.append((perf_counter() - began) * 1000)


def peak_rss_mib(pid: int) -> float:
    """Return the peak memory of a process, MiB."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return round(next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024, 1)


async def compare(fleet: Fleet, *, seconds: float, logins: float, reads: float) -> dict[str, object]:
    """Return the figures of both phases: without and with the flood."""
    async with fleet.client(fleet.credentials["admin_key"]) as reader:

        async def read(number: int) -> int:
            return (await reader.get(ROUTES[number % len(ROUTES)])).status_code

        for number in range(USERS):
            name = f"flood-{number}"
            account = {"username": name, "email": f"{name}@example.org", "password": PASSWORD}
            (await reader.post("/auth/register", json=account)).raise_for_status()
        before = peak_rss_mib(fleet.pid("auth"))
        quiet, flooded = PacedCalls(read, a_second=reads), PacedCalls(read, a_second=reads)
        await quiet.run(seconds)
        options = ("--flood", fleet.base_url, "--seconds", str(seconds), "--logins", str(logins))
        flooder = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.load.login_flood", *options, stdout=asyncio.subprocess.PIPE
        )
        assert flooder.stdout is not None
        await flooder.stdout.readline()  # the flood has started
        await flooded.run(seconds)
        logged_in = json.loads(await flooder.stdout.read())
        after = peak_rss_mib(fleet.pid("auth"))
    return {
        "quiet": quiet.figures(),
        "flooded": flooded.figures(),
        "logins": logged_in,
        "auth_peak_rss_mib": {"before": before, "after": after},
    }


async def flood(base_url: str, seconds: float, logins: float) -> None:
    """Log in at this rate; prints its figures."""
    os.nice(10)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as guest:

        async def login(number: int) -> int:
            password = PASSWORD if number % 2 else f"{PASSWORD}, not"
            body = {"username": f"flood-{number % USERS}", "password": password}
            async with guest.post(f"{base_url}/api/v1/auth/login", json=body) as answer:
                await answer.read()
                return answer.status

        print("begins", flush=True)
        logged_in = PacedCalls(login, a_second=logins)
        await logged_in.run(seconds)
        print(json.dumps(logged_in.figures()))


async def measure(seconds: float, logins: float, reads: float) -> None:
    """Start the system, measure, and print."""
    os.environ["GATEWAY_RATE_LIMIT_ENABLED"] = "false"
    async with running_fleet("--nodes", "1") as fleet:
        print(json.dumps(await compare(fleet, seconds=seconds, logins=logins, reads=reads)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30, help="of each half")
    parser.add_argument("--logins", type=float, default=200, help="a second")
    parser.add_argument("--reads", type=float, default=20, help="of other routes, a second")
    parser.add_argument("--flood", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.flood:
        asyncio.run(flood(arguments.flood, arguments.seconds, arguments.logins))
    else:
        asyncio.run(measure(arguments.seconds, arguments.logins, arguments.reads))
