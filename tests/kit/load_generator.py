"""A load generator in a separate process, and a bare server to compare with, for the benchmarks in ``tests/load``."""

import asyncio
import json
import os
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
import uvloop
from fastapi import FastAPI

from chassis.cli import Service, create_cli
from chassis.settings import ServiceSettings
from tests.kit.fleet import ROOT, Fleet
from tests.kit.http import http_client
from tests.kit.waiting import until

END = b"\r\n\r\n"
LENGTH = b"content-length: "


@dataclass(frozen=True)
class Load:
    """The requests to send. Each connection requests one URL repeatedly; the URLs are assigned round-robin.

    Attributes:
        body: JSON to POST; GET without one.
        every_s: interval between requests of one connection, staggered over the connections; 0 for no pause.
    """

    urls: list[str]
    key: str
    body: dict[str, Any] | None = None
    connections: int = 16
    seconds: float = 3.0
    every_s: float = 0.0


@dataclass(frozen=True)
class LoadResult:
    """Responses per second, their total number, and latencies in seconds from when each request was due."""

    rate: float
    number: int
    p50_s: float
    p99_s: float
    max_s: float


class Connection(asyncio.Protocol):
    """Sends the same request repeatedly, once the last response is complete and the interval has passed."""

    def __init__(self, request: bytes, *, first_at: float, every_s: float) -> None:
        self._request, self._due, self._every_s = request, first_at, every_s
        self._received = b""
        self._stopped = False
        self.latencies_s: list[float] = []
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request when it is due."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's class does not inherit from it
        self._loop.call_at(self._due, self._send)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail: the server must not close the connection."""
        if not self._stopped and not self.ended.done():
            self.ended.set_exception(exc or ConnectionResetError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        """Collect a part of a response."""
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
        self._received = b""
        now = self._loop.time()
        self.latencies_s.append(now - self._due)
        self._due = self._due + self._every_s if self._every_s else now
        if self._due <= now:
            self._send()
        else:
            self._loop.call_at(self._due, self._send)

    def stop(self) -> None:
        """Stop sending."""
        self._stopped = True

    def _send(self) -> None:
        if self._transport and not self._stopped:
            self._transport.write(self._request)


def _request(url: str, load: Load) -> bytes:
    parts = urlsplit(url)
    body = b"" if load.body is None else json.dumps(load.body).encode()
    method = "GET" if load.body is None else "POST"
    lines = [f"{method} {parts.path} HTTP/1.1", f"Host: {parts.netloc}", f"X-API-Key: {load.key}"]
    if load.body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + END + body


def _identity(connection: Connection) -> Connection:
    return connection


async def generate_load(load: Load) -> LoadResult:
    """Generate load in this process."""
    loop = asyncio.get_running_loop()
    begin = loop.time() + (1 if load.every_s else 0)  # connecting takes time and is not measured
    connections: list[Connection] = []
    for number in range(load.connections):
        url = load.urls[number % len(load.urls)]
        first_at = begin + load.every_s * number / load.connections
        connection = Connection(_request(url, load), first_at=first_at, every_s=load.every_s)
        parts = urlsplit(url)
        await loop.create_connection(partial(_identity, connection), parts.hostname or "", parts.port or 80)
        connections.append(connection)
    before, began = sum(len(one.latencies_s) for one in connections), loop.time()
    seconds = load.seconds + max(0, begin - began)
    await asyncio.wait([one.ended for one in connections], timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    latencies_s = [latency for one in connections for latency in one.latencies_s]
    rate = (len(latencies_s) - before) / (loop.time() - max(began, begin))
    for one in connections:
        one.stop()
        if one.ended.done():
            one.ended.result()
    if not rate:
        raise ValueError(f"{load.urls[0]} does not respond")
    cuts = statistics.quantiles(latencies_s, n=100, method="inclusive")
    return LoadResult(rate, len(latencies_s), cuts[49], cuts[98], max(latencies_s))


async def run_load_generator(load: Load) -> LoadResult:
    """Run ``generate_load`` in a separate process and return its result."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.kit.load_generator", cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    printed, _ = await process.communicate(json.dumps(asdict(load)).encode())
    if process.returncode:
        raise RuntimeError(f"the load generator ended with {process.returncode}")
    return LoadResult(**json.loads(printed))


@asynccontextmanager
async def running_module(url: str, *argv: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a Python module as a process; yield it once its URL responds."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *argv, env={**os.environ, **environment}, cwd=ROOT, stdout=subprocess.DEVNULL
    )
    try:
        async with http_client() as client:

            async def is_responding() -> bool:
                try:
                    return bool((await client.get(url)).status_code)
                except httpx.HTTPError:
                    return False

            await until(is_responding)
        yield process
    finally:
        process.terminate()
        await process.wait()


class BareSettings(ServiceSettings):
    """``BARE_PORT``."""

    model_config = ServiceSettings.model_config | {"env_prefix": "BARE_"}


def serve_bare(create_app: Callable[[ServiceSettings], FastAPI]) -> None:
    """Serve an application with the server settings of our services, on ``BARE_PORT``."""
    create_cli(Service(name="bare", settings=BareSettings, create_app=lambda settings, *_: create_app(settings)))(
        ["serve"]
    )


def find_gateway_url(fleet: Fleet) -> str:
    """Return the address of a system's gateway behind its proxy."""
    lines = (fleet.state / "env/gateway.env").read_text().splitlines()
    port = dict(line.split("=", 1) for line in lines)["GATEWAY_PORT"]
    return f"http://127.0.0.1:{port}"


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(generate_load(Load(**json.load(sys.stdin)))))))
