"""Compares how many frames a second the notifier sends to many sockets with bare broadcast loops.

    python -m tests.load.fanout [--sockets 2000] [--jobs 20] [--offered 36000] [--rounds 5] [--seconds 5]
                                 [--other TREE]

Sides, each a server process with a client process of its own, take turns in one run: the notifier as it is deployed
(``python -m notifier serve``); a FastAPI application on default uvicorn that awaits ``send_text`` for one socket after
the other; and ``websockets.broadcast`` of the library itself. All receive the same progress over NATS. The bare loops
serialize an event once and send it to every socket of its job; they have no credentials, limits, states or timeouts.

The clients only count frames. Printed are frames delivered a second, latency from the publication of the progress, and
the server's CPU time per frame, whose ratio does not depend on other load. At the end of the run each job ends while
progress is sent; a socket that does not receive this end makes the run fail.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import statistics
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import time
from typing import cast
from uuid import UUID, uuid4

import uvicorn
import uvloop
from fastapi import FastAPI, WebSocket
from nats.aio.client import Client
from nats.aio.msg import Msg
from starlette.websockets import WebSocketDisconnect
from websockets.asyncio.server import ServerConnection, broadcast, serve

import nats
from chassis.messaging import streams
from contracts.executor.progress import PROGRESS, Progress
from contracts.registry import STREAMS
from contracts.scheduler.jobs import JOB_CHANGED_LIVE, JobState
from stack.ports import find_free_ports
from tests.kit.fleet import ROOT
from tests.kit.load_generator import running_module
from tests.kit.nats import NatsServer
from tests.kit.postgres import PostgresServer
from tests.kit.scripted import Script

TARGET = 0.80
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
OPENING = 32  # handshakes at the same time
SAMPLED = 40  # one of this many sockets measures latency
QUIET_S = 0.5  # if no frame arrives for this long, a side has sent everything
END_WITHIN_S = 60.0
SOURCES = "services/*/src"
END = b'"type": "end"'
AT = b'"at": "'
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


@dataclass
class Counts:
    """What the sockets of one client received since the last reading. Latencies are in milliseconds."""

    frames: int = 0
    ended: int = 0
    latencies: list[float] = field(default_factory=list)


class Socket(asyncio.Protocol):
    """A WebSocket that counts frames without decoding them and answers pings."""

    def __init__(self, request: bytes, counts: Counts, *, samples: bool) -> None:
        self._request, self._counts, self._samples = request, counts, samples
        self._received = b""
        self._is_open = False
        self._transport: asyncio.Transport | None = None
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the handshake."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's class does not inherit from it
        self._transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail if the handshake was not answered."""
        if not self.opened.done():
            self.opened.set_exception(exc or ConnectionResetError(self._received[:300].decode(errors="replace")))

    def data_received(self, data: bytes) -> None:
        """Count complete frames."""
        data = self._received + data if self._received else data
        position = 0
        if not self._is_open:
            position = data.find(b"\r\n\r\n") + 4
            if position < 4 or not data.startswith(b"HTTP/1.1 101"):
                self._received = data
                return
            self._is_open = True
            self.opened.set_result(None)
        size = len(data)
        while size - position >= 4 or (size - position >= 2 and data[position + 1] < 126):
            length, start = data[position + 1], position + 2
            if length == 126:
                length, start = (data[position + 2] << 8) | data[position + 3], position + 4
            if start + length > size:
                break
            self._count_frame(data[position] & 15, data, start, start + length)
            position = start + length
        self._received = data[position:]

    def _count_frame(self, opcode: int, data: bytes, start: int, end: int) -> None:
        if opcode == TEXT:
            self._counts.frames += 1
            if data.find(END, start, start + 20) >= 0:
                self._counts.ended += 1
            elif self._samples and (found := data.find(AT, start, end)) >= 0:
                at = data[found + len(AT) : data.find(b'"', found + len(AT))].decode()
                self._counts.latencies.append((time() - datetime.fromisoformat(at).timestamp()) * 1e3)
        elif opcode == PING and self._transport is not None:
            payload = data[start:end]
            self._transport.write(bytes((0x80 | PONG, 0x80 | len(payload), 0, 0, 0, 0)) + payload)
        elif opcode == CLOSE and self._transport is not None:
            self._transport.close()


async def run_client(port: int, paths: Sequence[str]) -> None:
    """Open a socket per path. For each line on standard input print what was received since the line before."""
    counts, loop = Counts(), asyncio.get_running_loop()
    gate = asyncio.Semaphore(OPENING)

    async def open_socket(number: int, path: str) -> None:
        head = (
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nX-API-Key: alice-key\r\n"
            f"X-Forwarded-For: 10.1.{number >> 8}.{number & 255}\r\n\r\n"
        )
        socket = Socket(head.encode(), counts, samples=number % SAMPLED == 0)
        async with gate:
            await loop.create_connection(lambda: socket, "127.0.0.1", port)
            await socket.opened

    await asyncio.gather(*(open_socket(number, path) for number, path in enumerate(paths)))
    print("open", flush=True)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        print(json.dumps(asdict(counts)), flush=True)
        counts.frames, counts.latencies[:] = 0, []


class ClientProcess:
    """Opens the sockets of one side."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def read_counts(self) -> Counts:
        """Return what was received since the last reading."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        return Counts(**json.loads(await self.read_line()))

    async def read_line(self) -> bytes:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("the client process ended")
        return line


@asynccontextmanager
async def running_client(port: int, paths: Sequence[str]) -> AsyncIterator[ClientProcess]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.load.fanout", "--client"),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 24,
    )
    try:
        assert process.stdin is not None
        process.stdin.write(json.dumps({"port": port, "paths": paths}).encode() + b"\n")
        client = ClientProcess(process)
        await client.read_line()
        yield client
    finally:
        process.terminate()
        await process.wait()


Send = Callable[[str, bool], Awaitable[None]]
"""Sends a text to all sockets of a job; whether it is the last one."""


async def subscribe_job(client: Client, tenant: str, job_id: str, send: Send) -> None:
    """Send the progress of a job, and its end, as the notifier does."""

    async def receive_progress(message: Msg) -> None:
        await send(json.dumps({"type": "progress"} | json.loads(message.data)), False)

    async def receive_event(message: Msg) -> None:
        event = json.loads(message.data)
        if event["state"] == JobState.SUCCEEDED:
            await send(json.dumps({"type": "end", "job_id": event["job_id"], "seq": event["seq"]}), True)

    await client.subscribe(PROGRESS.subject(tenant, job_id), cb=receive_progress)
    await client.subscribe(JOB_CHANGED_LIVE.subject(tenant, job_id), cb=receive_event)


async def send_to_all(sockets: list[WebSocket], text: str, is_last: bool) -> None:
    for socket in sockets:
        await socket.send_text(text)
        if is_last:
            await socket.close()
    if is_last:
        sockets.clear()


def create_bare_app() -> FastAPI:
    """Return an application that sends every socket of a job its progress, one socket after the other."""
    sockets: dict[str, list[WebSocket]] = defaultdict(list)
    clients: list[Client] = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        clients.append(await nats.connect(os.environ["FANOUT_NATS"]))
        yield
        await clients[0].close()

    app = FastAPI(lifespan=lifespan)

    @app.websocket("/bare/{tenant}/{job_id}")
    async def watch(socket: WebSocket, tenant: str, job_id: str) -> None:
        sockets[job_id].append(socket)
        if len(sockets[job_id]) == 1:
            await subscribe_job(clients[0], tenant, job_id, partial(send_to_all, sockets[job_id]))
        await socket.accept()
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                await socket.receive_text()

    return app


def serve_uvicorn(port: int) -> None:
    uvicorn.run(create_bare_app(), port=port, log_level="error")


async def serve_websockets(port: int) -> None:
    """Serve the same progress with ``broadcast`` of the websockets library."""
    client = await nats.connect(os.environ["FANOUT_NATS"])
    sockets: dict[str, list[ServerConnection]] = defaultdict(list)

    async def watch(socket: ServerConnection) -> None:
        assert socket.request is not None
        _, _, tenant, job_id = socket.request.path.split("/")

        async def send(text: str, is_last: bool) -> None:
            broadcast(sockets[job_id], text)
            if is_last:
                await asyncio.gather(*(one.close() for one in sockets[job_id]))
                sockets[job_id].clear()

        sockets[job_id].append(socket)
        if len(sockets[job_id]) == 1:
            await subscribe_job(client, tenant, job_id, send)
        await socket.wait_closed()

    logging.getLogger("websockets").setLevel(logging.CRITICAL)  # it logs the plain requests of the readiness check
    async with serve(watch, "127.0.0.1", port, compression=None) as server:
        await server.serve_forever()


@dataclass(frozen=True)
class Server:
    """How to start the server of a side. Tenant and job are placeholders in the path."""

    name: str
    port: int
    path: str
    argv: tuple[str, ...]
    environment: dict[str, str]


@dataclass
class Side:
    """One side with its jobs, and its results per round."""

    name: str
    server_pid: int
    client: ClientProcess
    jobs: list[UUID]
    rates: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)

    def read_cpu_s(self) -> float:
        """Return the CPU time of the server so far."""
        fields = Path(f"/proc/{self.server_pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:13])) * TICK_S

    def read_memory_mib(self) -> float:
        pages = int(Path(f"/proc/{self.server_pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


class Publisher:
    """Publishes the progress of jobs at a constant rate."""

    def __init__(self, script: Script, events_per_s: float) -> None:
        self._script, self._every_s = script, 1 / events_per_s
        self._published = 0

    async def publish_progress(self, jobs: Sequence[UUID], seconds: float) -> None:
        """Publish for some seconds, one job after the other."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        until = due + seconds
        while due < until:
            job_id = jobs[self._published % len(jobs)]
            self._published += 1
            progress = Progress(
                job_id=job_id, attempt=1, progress=min(99.0, self._published / 1e5), value=self._published % 20,
                max=20, node="3", node_class="KSampler", nodes_done=2, nodes_total=7, at=datetime.now(UTC),
            )  # fmt: skip
            await self._script.bus.publish(PROGRESS, progress, tenant=str(self._script.alice), key=str(job_id))
            due += self._every_s
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def end_job(self, job_id: UUID) -> None:
        event = self._script.scheduler.change(job_id, JobState.SUCCEEDED)
        await self._script.bus.publish(JOB_CHANGED_LIVE, event, tenant=str(event.tenant_id), key=str(job_id))


async def measure_round(side: Side, publisher: Publisher, seconds: float) -> None:
    await side.client.read_counts()
    cpu_s, began = side.read_cpu_s(), asyncio.get_running_loop().time()
    await publisher.publish_progress(side.jobs, seconds)
    counts = await side.client.read_counts()
    took_s = asyncio.get_running_loop().time() - began
    side.rates.append(counts.frames / took_s)
    side.cpu_us.append((side.read_cpu_s() - cpu_s) / counts.frames * 1e6)
    cuts = statistics.quantiles(counts.latencies, n=100, method="inclusive")
    side.p50_ms.append(cuts[49])
    side.p99_ms.append(cuts[98])
    while counts.frames:
        await asyncio.sleep(QUIET_S)
        counts = await side.client.read_counts()


async def end_jobs(side: Side, publisher: Publisher, sockets: int, seconds: float) -> int:
    """End every job while progress is published; returns the number of sockets that did not receive the end."""
    publishing = asyncio.create_task(publisher.publish_progress(side.jobs, seconds))
    await asyncio.sleep(seconds / 2)
    for job_id in side.jobs:
        await publisher.end_job(job_id)
    await publishing
    ended = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(END_WITHIN_S):
            while ended < sockets:
                await asyncio.sleep(QUIET_S)
                ended = (await side.client.read_counts()).ended
    return sockets - ended


async def measure(arguments: argparse.Namespace) -> int:
    """Alternate the sides and print their results; returns 1 if an end was missed."""
    nats_server, postgres = NatsServer(), PostgresServer()
    script = Script(nats_server.url)
    try:
        await postgres.create()
        await nats_server.start()
        await script.start()
        await streams.create_missing_streams(script.bus, STREAMS)
        database_url = await postgres.create_database("notifier")
        async with AsyncExitStack() as stack:
            port, metrics_port = find_free_ports(2)
            notifier = {
                "NOTIFIER_NATS_URL": nats_server.url,
                "NOTIFIER_DATABASE_URL": database_url,
                "NOTIFIER_PORT": str(port),
                "NOTIFIER_METRICS_PORT": str(metrics_port),
                "NOTIFIER_TRUSTED_PROXIES": "127.0.0.1/32",  # makes each client appear to have its own address
            }
            servers = [Server("notifier", port, "/ws/jobs/{job}", ("notifier", "serve"), notifier)]
            if arguments.other:
                port, metrics_port = find_free_ports(2)
                changes = {
                    "NOTIFIER_PORT": str(port),
                    "NOTIFIER_METRICS_PORT": str(metrics_port),
                    "PYTHONPATH": os.pathsep.join(str(path) for path in sorted(arguments.other.glob(SOURCES))),
                }
                servers.append(Server("other", port, "/ws/jobs/{job}", ("notifier", "serve"), notifier | changes))
            for name in ("uvicorn", "websockets"):
                (port,) = find_free_ports(1)
                argv = ("tests.load.fanout", "--bare", name, "--port", str(port))
                servers.append(Server(name, port, "/bare/{tenant}/{job}", argv, {"FANOUT_NATS": nats_server.url}))
            chosen = [server for server in servers if server.name in arguments.sides]
            sides = [await start_side(stack, script, arguments, server) for server in chosen]
            publisher = Publisher(script, arguments.offered * arguments.jobs / arguments.sockets)
            for number in range(arguments.rounds + 1):
                for side in sides[:: 1 if number % 2 else -1]:
                    await measure_round(side, publisher, arguments.seconds if number else 1.0)
            print_results(sides, arguments)
            missed = {side.name: await end_jobs(side, publisher, arguments.sockets, 2.0) for side in sides}
            print(", ".join(f"{name}: {number} ends missed" for name, number in missed.items()))
            return 1 if missed["notifier"] else 0
    finally:
        await script.stop()
        nats_server.remove()
        postgres.remove()


async def start_side(stack: AsyncExitStack, script: Script, arguments: argparse.Namespace, server: Server) -> Side:
    """Start the server of a side and open its sockets."""
    url = f"http://127.0.0.1:{server.port}/readyz"
    process = await stack.enter_async_context(running_module(url, *server.argv, **server.environment))
    jobs = [script.scheduler.add(script.alice, uuid4()).job_id for _ in range(arguments.jobs)]
    for job_id in jobs:
        script.scheduler.change(job_id, JobState.LEASED)
        script.scheduler.change(job_id, JobState.RUNNING)
    watched = [jobs[number % len(jobs)] for number in range(arguments.sockets)]
    paths = [server.path.format(tenant=script.alice, job=job_id) for job_id in watched]
    client = await stack.enter_async_context(running_client(server.port, paths))
    return Side(server.name, process.pid, client, jobs)


def print_results(sides: Sequence[Side], arguments: argparse.Namespace) -> None:
    print(
        f"{arguments.sockets} sockets, {arguments.jobs} jobs a side, {arguments.offered} frames/s offered, "
        f"{arguments.rounds} rounds of {arguments.seconds:g} s"
    )
    rate = {side.name: statistics.median(side.rates[1:]) for side in sides}  # the first round is a warm-up
    cpu_us = {side.name: statistics.median(side.cpu_us[1:]) for side in sides}
    for side in sides:
        rounds = " ".join(f"{value:6.0f}" for value in side.rates[1:])
        print(
            f"{side.name:10} {rate[side.name]:7.0f} frames/s   CPU {cpu_us[side.name]:5.1f} us/frame   "
            f"p50 {statistics.median(side.p50_ms[1:]):7.1f}   p99 {statistics.median(side.p99_ms[1:]):7.1f} ms   "
            f"{side.read_memory_mib():4.0f} MiB   [{rounds}]"
        )
    for side in sides[1:]:
        print(
            f"notifier: {rate['notifier'] / rate[side.name]:.2f} x {side.name} by frames, "
            f"{cpu_us[side.name] / cpu_us['notifier']:.2f} x by CPU time"
        )
    print(f"target: {TARGET:.2f} x uvicorn by frames")


def main() -> None:
    """Run the benchmark, or one of its processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sockets", type=int, default=2000)
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--offered", type=float, default=36_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--other", type=Path, help="working tree of another version, whose notifier is one more side")
    parser.add_argument("--sides", nargs="+", default=["notifier", "other", "uvicorn", "websockets"])
    parser.add_argument("--client", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--bare", choices=("uvicorn", "websockets"), help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.client:
        uvloop.run(run_client(**json.loads(sys.stdin.readline())))
    elif arguments.bare == "uvicorn":
        serve_uvicorn(arguments.port)
    elif arguments.bare == "websockets":
        uvloop.run(serve_websockets(arguments.port))
    else:
        sys.exit(asyncio.run(measure(arguments)))


if __name__ == "__main__":
    main()
