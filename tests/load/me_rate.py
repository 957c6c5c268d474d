"""``GET /api/v1/auth/me`` by API key against a bare FastAPI route on the same server settings, in requests a second.

    python -m tests.load.me_rate [--rounds 5] [--seconds 3] [--connections 16]

One run, rounds in turn, each side one process with the load generator in another: a bare route that answers a dict of
the same size, the gateway of a running system for a user of tier enterprise (nothing counts its requests), for one with
1,000,000 requests a minute of its own (every request is counted), and the first again through the development proxy.
Rate limiting is on throughout.
"""

import argparse
import asyncio
import os
import statistics
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
import uvloop
from fastapi import FastAPI

from chassis.cli import Service, commands
from chassis.settings import ServiceSettings
from tests.kit.fleet import ROOT, Fleet, running_fleet
from tests.kit.waiting import until

TARGET = 0.60
END = b"\r\n\r\n"
LENGTH = b"content-length: "


class Connection(asyncio.Protocol):
    """Sends the same request again as soon as its answer is whole."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._received = b""
        self._stopped = False
        self.answers = 0
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by name
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """A part of an answer, most often all of it."""
        received = self._received = self._received + data
        head = received.find(END)
        if head < 0:
            return
        at = received.lower().find(LENGTH, 0, head) + len(LENGTH)
        if len(received) < head + len(END) + int(received[at : received.find(b"\r", at)]):
            return
        if not received.startswith(b"HTTP/1.1 20"):
            self.ended.set_exception(ValueError(received[:500]))
            return
        self.answers += 1
        self._received = b""
        if self._transport and not self._stopped:
            self._transport.write(self._request)

    def stop(self) -> None:
        """Send no more."""
        self._stopped = True


async def hammer(url: str, key: str, connections: int, seconds: float) -> float:
    """Requests a second that a URL answers with 200."""
    parts = urlsplit(url)
    request = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nX-API-Key: {key}\r\n\r\n".encode()
    loop = asyncio.get_running_loop()
    made = [
        (await loop.create_connection(lambda: Connection(request), parts.hostname or "", parts.port or 80))[1]
        for _ in range(connections)
    ]
    before, began = sum(one.answers for one in made), perf_counter()
    await asyncio.wait([one.ended for one in made], timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    rate = (sum(one.answers for one in made) - before) / (perf_counter() - began)
    if not rate:
        raise ValueError(f"{url} does not answer")
    for one in made:
        one.stop()
        if one.ended.done():
            one.ended.result()
    return rate


def bare_app(_: ServiceSettings) -> FastAPI:
    """A route as small as one can be, with an answer of about the size of the other one's."""
    app = FastAPI()

    @app.get("/bare")
    async def bare() -> dict[str, Any]:
        return {
            "id": "0199f2b0-7c3e-7a51-9d24-5a1be0c0ffee", "username": "admin", "email": "admin@example.com",
            "tier": "enterprise", "role": "admin", "is_active": True, "created_at": "2026-11-23T09:00:00Z",
            "limits": {"images_per_day": None, "max_running": None, "queue_cap": None, "weight": 8.0,
                       "requests_per_minute": None},
            "used_today": 0, "left_today": None, "resets_at": "2026-11-24T00:00:00Z", "running": 0, "queued": 0,
        }  # fmt: skip

    return app


@asynccontextmanager
async def running_bare() -> AsyncIterator[str]:
    """The bare application as a process, served as a service is; its URL."""
    port = 20_000 + os.getpid() % 20_000
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.load.me_rate", "--bare",
        env={**os.environ, "BARE_PORT": str(port), "LOG_LEVEL": "ERROR"}, cwd=ROOT,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}/bare"
    try:
        async with httpx.AsyncClient(trust_env=False) as client:

            async def answers() -> bool:
                try:
                    return (await client.get(url)).status_code == 200
                except httpx.HTTPError:
                    return False

            await until(answers)
        yield url
    finally:
        process.terminate()
        await process.wait()


async def generated(url: str, key: str, arguments: argparse.Namespace) -> float:
    """The rate that a load generator in a process of its own gets."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.load.me_rate", "--hammer", url, "--connections", str(arguments.connections),
        "--seconds", str(arguments.seconds), env={**os.environ, "ME_KEY": key}, cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    printed, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the load generator ended with {process.returncode}")
    return float(printed)


def gateway_port(fleet: Fleet) -> str:
    """Where the gateway itself listens."""
    lines = (fleet.state / "env/gateway.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)["GATEWAY_PORT"]


async def measure(arguments: argparse.Namespace) -> None:
    """Run all sides in turn and print what they reached."""
    async with running_fleet("--nodes", "1") as fleet, running_bare() as bare:
        admin, counted = fleet.credentials["admin_key"], fleet.key
        async with fleet.client(admin) as client:
            answer = await client.patch(
                f"/admin/users/{fleet.credentials['demo_user_id']}",
                json={"limits": {"requests_per_minute": 1_000_000}},
            )
            answer.raise_for_status()
            size = len((await client.get("/auth/me")).content)
        me = f"http://127.0.0.1:{gateway_port(fleet)}/api/v1/auth/me"
        sides = {
            "bare": (bare, admin),
            "me, not counted": (me, admin),
            "me, counted": (me, counted),
            "me, through proxy": (f"{fleet.base_url}/api/v1/auth/me", admin),
        }
        rates: dict[str, list[float]] = {name: [] for name in sides}
        for number in range(arguments.rounds + 1):
            for name, (url, key) in sides.items():
                rate = await generated(url, key, arguments)
                if number:  # the first round warms up
                    rates[name].append(rate)
    print(f"answers of {size} bytes, {arguments.connections} connections, {arguments.rounds} rounds")
    medians = {name: statistics.median(found) for name, found in rates.items()}
    for name, median in medians.items():
        rounds = " ".join(f"{rate:6.0f}" for rate in rates[name])
        print(f"{name:18} {median:7.0f}/s  {median / medians['bare']:5.2f} x bare   [{rounds}]")
    print(f"target: {TARGET:.2f} x bare")


def main() -> None:
    """One of three: everything, the bare server, the load generator."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--hammer", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.bare:
        commands(Service(name="bare", settings=BareSettings, create_app=bare_app))(["serve"])
    elif arguments.hammer:
        print(uvloop.run(hammer(arguments.hammer, os.environ["ME_KEY"], arguments.connections, arguments.seconds)))
    else:
        asyncio.run(measure(arguments))


class BareSettings(ServiceSettings):
    """``BARE_PORT``."""

    model_config = ServiceSettings.model_config | {"env_prefix": "BARE_"}


if __name__ == "__main__":
    main()
