"""Restarts every service of a system with two of each, while jobs are submitted and watched.

    ./dev drill rolling_restart [--rounds 2] [--rate 20]

Clients do not retry: they send each request once, to a front that gives it to a ready replica in turn, as a load
balancer does. Each job is watched over a websocket, or as server-sent events, and a watch that the server closes is
resumed after the last event. One job in ten is run to its end, which keeps the two nodes busy; half of these are
requests that wait for their result. The others are cancelled after two seconds, so that the queue stays short. Before
an executor is stopped, each node gets a job that is longer than the executor may drain.

It fails if a request fails, a watcher misses an event, a job does not complete, or an attempt counts as a second try.
"""

import argparse
import asyncio
import itertools
import json
import os
import secrets
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any

import asyncpg
import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from scheduler.domain.settlement import UNCOUNTED_OUTCOMES
from stack.health_probe import is_healthy
from stack.ports import LOOPBACK, find_free_ports
from stack.process_supervisor import ProcessSupervisor, ProcessUnit
from stack.processes import ForkServerClient, PythonProcess
from stack.proxy import ClientSide, is_for_notifier
from tests.kit.fleet import Fleet, running_fleet
from tests.kit.waiting import until

REPLICATED = ("auth", "scheduler", "notifier", "gateway")
EXECUTORS = ("executor-1", "executor-2")
DRAIN_DELAY_S, PROBE_S, PROBE_WITHIN_S = 4.0, 0.1, 2.0
MAX_PRIORITY = 100
KEEP_ALIVE_S = 3.0  # shorter than that of the services, as in the proxy of the compose file
SERVICE_RESTART = 1012  # WebSocket close code
LONG_JOB_S, EXECUTOR_DRAIN_S = 8.0, 1.0
JOB_S, CANCEL_AFTER_S = 0.9, 2.0  # two nodes can just run the jobs that are not cancelled
READY_S, END_S = 60.0, 300.0
ANSWER_S = 90.0  # longer than a request that waits for its result may take
ENVIRONMENT: dict[str, Any] = {
    "GATEWAY_DRAIN_DELAY_S": str(DRAIN_DELAY_S),
    "NOTIFIER_DRAIN_DELAY_S": str(DRAIN_DELAY_S),
    "NOTIFIER_HANDSHAKES_PER_MINUTE": "1000000",
    "NOTIFIER_REREAD_S": "10",  # long, so that a reread does not hide a lost live event
    "EXECUTOR_ON_STOP": "hand_back",
    "EXECUTOR_DRAIN_S": str(EXECUTOR_DRAIN_S),
    **{f"{name.upper()}_DATABASE_POOL": "3" for name in REPLICATED},
}


@dataclass
class Figures:
    """Counts and latencies that the clients observed."""

    requests: Counter[str] = field(default_factory=Counter)
    failed_requests: list[str] = field(default_factory=list)
    events: int = 0
    lost_events: list[str] = field(default_factory=list)
    resumed: Counter[str] = field(default_factory=Counter)
    not_completed: list[str] = field(default_factory=list)
    jobs: int = 0
    longest_request_s: float = 0.0

    def fail(self, problem: str) -> None:
        self.failed_requests.append(f"{datetime.now(UTC):%H:%M:%S.%f} {problem}")
        print(self.failed_requests[-1], flush=True)


class Replica:
    """A process of a service that the drill stops. Its supervisor starts it again.

    Args:
        pid: returns the pid of the running process, or None.
        port: of its health routes.
    """

    def __init__(self, name: str, pid: Callable[[], int | None], port: int) -> None:
        self.name, self.port = name, port
        self._pid = pid
        self.is_ready = True

    async def probe(self) -> None:
        """Keep ``is_ready`` up to date."""
        while True:
            self.is_ready = await is_healthy(LOOPBACK, self.port, "/readyz", PROBE_WITHIN_S)
            await asyncio.sleep(PROBE_S)

    async def restart(self) -> float:
        """Send SIGTERM, wait for the successor to be ready; returns the seconds that it took."""
        began, pid = monotonic(), self._pid()
        assert pid is not None
        os.kill(pid, signal.SIGTERM)
        await until(lambda: self._pid() not in {None, pid}, within_s=READY_S)
        await until(lambda: is_healthy(LOOPBACK, self.port, "/readyz"), within_s=READY_S)
        took_s = monotonic() - began
        print(f"{datetime.now(UTC):%H:%M:%S} restarted {self.name} in {took_s:.1f} s", flush=True)
        return took_s


class Front:
    """A load balancer on a port of its own: each connection goes to the next ready replica."""

    def __init__(self, gateways: list[Replica], notifiers: list[Replica]) -> None:
        self._turns = {True: itertools.cycle(notifiers), False: itertools.cycle(gateways)}
        self._replicas = [*gateways, *notifiers]
        self.without_ready_replica = 0
        """Connections for which no replica was ready. They may fail: this front, unlike Caddy, does not wait."""

    def choose_port(self, first_line: bytes) -> int:
        """Return the port for a connection with this first line."""
        turn = self._turns[is_for_notifier(first_line)]
        found = next(turn)
        for _ in self._replicas:
            if found.is_ready:
                return found.port
            found = next(turn)
        self.without_ready_replica += 1
        return found.port

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Serve during the block; yields host and port."""
        server = await asyncio.get_running_loop().create_server(lambda: ClientSide(self.choose_port), LOOPBACK, 0)
        probing = [asyncio.create_task(replica.probe()) for replica in self._replicas]
        try:
            yield f"{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
        finally:
            for probe in probing:
                probe.cancel()
            server.close()


class Clients:
    """Submits jobs at a fixed rate and watches each.

    Args:
        http: client for requests that are answered at once.
        waiting: client for requests that last as long as their job. It is separate because the CPU time of a pool
            grows with its open connections.
    """

    def __init__(self, at: str, key: str, http: httpx.AsyncClient, waiting: httpx.AsyncClient) -> None:
        self._at, self._headers, self._http, self._waiting = at, {"X-API-Key": key}, http, waiting
        self._watches: set[asyncio.Task[None]] = set()
        self.figures = Figures()

    async def submit_until(self, stopped: asyncio.Event, *, rate: float) -> None:
        """Submit ``rate`` jobs a second until stopped, then wait for all of them."""
        loop, began = asyncio.get_running_loop(), asyncio.get_running_loop().time()
        for number in itertools.count():
            if stopped.is_set():
                break
            await asyncio.sleep(max(0.0, began + number / rate - loop.time()))
            self.start(self.run_job(number))
        async with asyncio.timeout(END_S):
            while self._watches:
                await asyncio.wait(set(self._watches))

    def start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._watches.add(task)
        task.add_done_callback(self._note_end)

    async def run_job(self, number: int) -> None:
        """Submit one job and follow it to its end."""
        is_cancelled = number % 10 > 0
        if number % 20 == 0:
            await self._generate()
            return
        submission = {"workflow": build_graph(JOB_S), "priority": 0 if is_cancelled else MAX_PRIORITY - 1}
        answer = await self._request("submit", "POST", "/jobs", 201, json=submission)
        if answer is None:
            return
        job_id = answer.json()["job_id"]
        if is_cancelled:
            self.start(self._cancel_later(job_id))
        await self._watch(job_id, as_events=number % 10 == 1, may_be_cancelled=is_cancelled)

    async def run_long_jobs(self, count: int) -> None:
        """Submit jobs that are longer than an executor drains; return when all of them run."""
        for _ in range(count):
            submission = {"workflow": build_graph(LONG_JOB_S), "priority": MAX_PRIORITY}
            answer = await self._request("submit", "POST", "/jobs", 201, json=submission)
            if answer is not None:
                await self._until_running(answer.json()["job_id"])

    async def _until_running(self, job_id: str) -> None:
        self.start(self._watch(job_id, as_events=False))
        last: dict[str, Any] = {}

        async def is_running() -> bool:
            nonlocal last
            answer = await self._request("read", "GET", f"/jobs/{job_id}", 200)
            last = answer.json() if answer is not None else last
            return last.get("status") == "processing"

        try:
            await until(is_running, within_s=READY_S)
        except TimeoutError:
            self.figures.fail(f"long job does not start: {last}")
            raise

    async def _cancel_later(self, job_id: str) -> None:
        await asyncio.sleep(CANCEL_AFTER_S)
        await self._request("cancel", "DELETE", f"/jobs/{job_id}", 200)

    async def _generate(self) -> None:
        submission = {"workflow": build_graph(JOB_S), "priority": MAX_PRIORITY - 1}
        answer = await self._request("generate", "POST", "/generate", 200, 202, json=submission)
        if answer is None:
            return
        if answer.status_code == 202:
            await self._watch(answer.json()["job_id"], as_events=False)
            return
        self.figures.jobs += 1

    async def _request(
        self, kind: str, method: str, path: str, *wanted: int, json: Any = None
    ) -> httpx.Response | None:
        """Send a request once. Returns None if it failed."""
        began = monotonic()
        try:
            http = self._waiting if kind == "generate" else self._http
            answer = await http.request(method, f"/api/v1{path}", headers=self._headers, json=json)
        except httpx.HTTPError as error:
            self.figures.fail(f"{kind}: {error!r}")
            return None
        self.figures.longest_request_s = max(self.figures.longest_request_s, monotonic() - began)
        self.figures.requests[f"{kind} {answer.status_code}"] += 1
        if answer.status_code not in wanted:
            self.figures.fail(f"{kind}: {answer.status_code} {answer.text[:200]}")
            return None
        return answer

    async def _watch(self, job_id: str, *, as_events: bool, may_be_cancelled: bool = False) -> None:
        self.figures.jobs += 1
        seen: list[tuple[int, str]] = []
        watch = self._read_events if as_events else self._read_socket
        while not seen or seen[-1][1] not in {"completed", "failed", "cancelled"}:
            await watch(job_id, seen)
        numbers = [number for number, _ in seen]
        self.figures.events += len(numbers)
        if numbers != list(range(numbers[0], numbers[0] + len(numbers))) or numbers[0] > 2:
            self.figures.lost_events.append(f"{job_id}: {numbers}")
        if seen[-1][1] != "completed" and not (may_be_cancelled and seen[-1][1] == "cancelled"):
            self.figures.not_completed.append(f"{job_id}: {seen[-1][1]}")

    async def _read_socket(self, job_id: str, seen: list[tuple[int, str]]) -> None:
        """Watch until the socket closes; a close with 1012 is resumed, any other counts as a failed request."""
        after = seen[-1][0] if seen else 1
        url = f"ws://{self._at}/ws/jobs/{job_id}?after={after}"
        try:
            async with connect(url, additional_headers=self._headers, proxy=None, open_timeout=20) as socket:
                self.figures.requests["socket"] += 1
                async for text in socket:
                    message = json.loads(text)
                    if message["type"] == "status":
                        seen.append((message["seq"], message["status"]))
        except ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd else 1006
            self.figures.resumed[f"socket {code}"] += 1
            if code != SERVICE_RESTART:
                self.figures.fail(f"socket: {closed!r}")
        except Exception as error:  # noqa: BLE001 - whatever it is, the request has failed
            self.figures.fail(f"socket: {error!r}")

    async def _read_events(self, job_id: str, seen: list[tuple[int, str]]) -> None:
        headers = self._headers | {"Last-Event-ID": str(seen[-1][0] if seen else 1)}
        try:
            async with self._waiting.stream("GET", f"/api/v1/jobs/{job_id}/events", headers=headers) as stream:
                self.figures.requests[f"events {stream.status_code}"] += 1
                stream.raise_for_status()
                async for line in stream.aiter_lines():
                    if line.startswith("data: "):
                        message = json.loads(line[6:])
                        seen.append((message["seq"], message["status"]))
                    if line.startswith("retry: "):
                        self.figures.resumed["events"] += 1
        except httpx.HTTPError as error:
            self.figures.fail(f"events: {error!r}")

    def _note_end(self, task: asyncio.Task[None]) -> None:
        self._watches.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.figures.fail(f"client: {error!r}")


def build_graph(seconds: float) -> dict[str, Any]:
    """Return a workflow that takes this time, with a colour of its own, so that no node answers from its cache."""
    picture = {"width": 32, "height": 16, "batch_size": 1, "color": secrets.randbelow(1 << 24)}
    return {
        "1": {"class_type": "EmptyImage", "inputs": picture},
        "2": {"class_type": "SimSleep", "inputs": {"image": ["1", 0], "seconds": seconds}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "drill"}},
    }


def read_environment(fleet: Fleet, name: str) -> dict[str, str]:
    lines = (fleet.state / f"env/{name}.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def first_replica(fleet: Fleet, name: str) -> Replica:
    """Return the process that ``./dev up`` has started."""
    service = name.partition("-")[0].upper()
    port = int(read_environment(fleet, name)[f"{service}_PORT"])

    def pid() -> int | None:
        found = json.loads((fleet.state / "processes.json").read_text()).get(name)
        return int(found) if found is not None else None

    return Replica(name, pid, port)


@asynccontextmanager
async def second_replica(fleet: Fleet, fork_server: ForkServerClient, name: str) -> AsyncIterator[Replica]:
    """Run another process of a service during the block, like ``./dev up`` runs the first."""
    port, pids = find_free_ports(1)[0], dict[str, int | None]()
    environment = read_environment(fleet, name) | {
        f"{name.upper()}_PORT": str(port),
        f"{name.upper()}_METRICS_PORT": "0",
    }
    call = PythonProcess(
        f"{name}-b", f"{name}.__main__", ("serve",), environment, str(fleet.state / f"logs/{name}-b.log")
    )
    unit = ProcessUnit(f"{name}-b", lambda: fork_server.spawn(call), lambda: is_healthy(LOOPBACK, port, "/readyz"))
    supervisor = ProcessSupervisor(unit, pids.__setitem__, lambda _line: None)
    supervisor.start()
    try:
        await supervisor.wait_until_ready()
        yield Replica(f"{name}-b", lambda: pids.get(f"{name}-b"), port)
    finally:
        await supervisor.stop()


async def count_attempts(fleet: Fleet) -> tuple[Counter[str], int]:
    """Return the attempts by outcome, and how many count as a second or later try of their job."""
    url = read_environment(fleet, "scheduler")["SCHEDULER_DATABASE_URL"].replace("+asyncpg", "")
    sql = await asyncpg.connect(url)
    try:
        rows = await sql.fetch("SELECT job_id, outcome FROM attempts")
    finally:
        await sql.close()
    outcomes = Counter(str(row["outcome"]) for row in rows)
    tries = Counter(row["job_id"] for row in rows if row["outcome"] not in UNCOUNTED_OUTCOMES)
    return outcomes, sum(count - 1 for count in tries.values())


async def restart_all(replicas: list[Replica], executors: list[Replica], clients: Clients) -> dict[str, list[float]]:
    """Restart one process after another; returns the seconds that each restart took, by service."""
    took: dict[str, list[float]] = {}
    for replica in replicas:
        took.setdefault(replica.name.removesuffix("-b"), []).append(await replica.restart())
    for executor in executors:
        await clients.run_long_jobs(len(executors))
        took.setdefault("executor", []).append(await executor.restart())
    return took


async def drill(*, rounds: int, rate: float) -> tuple[Figures, Counter[str], int]:
    """Run the drill. Returns what clients saw, the attempts by outcome, and the attempts spent."""
    async with running_fleet(**ENVIRONMENT) as fleet, AsyncExitStack() as stack:
        with tempfile.NamedTemporaryFile(prefix="fork-server-") as log:
            fork_server = ForkServerClient(Path(log.name))
        await fork_server.start()
        stack.push_async_callback(fork_server.close)
        replicas: dict[str, list[Replica]] = {}
        for name in REPLICATED:
            second = await stack.enter_async_context(second_replica(fleet, fork_server, name))
            replicas[name] = [first_replica(fleet, name), second]
        executors = [first_replica(fleet, name) for name in EXECUTORS]
        front = Front(replicas["gateway"], replicas["notifier"])
        at = await stack.enter_async_context(front.running())
        limits = httpx.Limits(max_connections=None, keepalive_expiry=KEEP_ALIVE_S)
        http, waiting = [
            await stack.enter_async_context(
                httpx.AsyncClient(base_url=f"http://{at}", timeout=ANSWER_S, trust_env=False, limits=limits)
            )
            for _ in range(2)
        ]
        clients, stopped = Clients(at, fleet.key, http, waiting), asyncio.Event()
        submitting = asyncio.create_task(clients.submit_until(stopped, rate=rate))
        print(f"two of each service are up; submitting {rate:g} jobs a second", flush=True)
        try:
            for number in range(1, rounds + 1):
                took = await restart_all([one for name in REPLICATED for one in replicas[name]], executors, clients)
                longest = ", ".join(f"{name} {max(seconds):.1f} s" for name, seconds in took.items())
                print(f"round {number}: all restarted; longest restart by service: {longest}", flush=True)
        finally:
            stopped.set()
            await submitting
        print(f"connections without a ready replica: {front.without_ready_replica}", flush=True)
        outcomes, spent = await count_attempts(fleet)
        return clients.figures, outcomes, spent


async def main(*, rounds: int, rate: float) -> int:
    figures, outcomes, spent = await drill(rounds=rounds, rate=rate)
    print(f"jobs               {figures.jobs}")
    print(f"requests           {dict(sorted(figures.requests.items()))}")
    print(f"failed requests    {len(figures.failed_requests)}")
    print(f"longest request    {figures.longest_request_s:.1f} s")
    print(f"events             {figures.events}, watches resumed: {dict(sorted(figures.resumed.items()))}")
    print(f"lost events        {len(figures.lost_events)}")
    print(f"jobs not completed {len(figures.not_completed)}")
    print(f"attempts           {dict(sorted(outcomes.items()))}")
    print(f"attempts spent     {spent}")
    problems = [*figures.failed_requests, *figures.lost_events, *figures.not_completed]
    for problem in problems[:20]:
        print(f"  {problem}")
    return 1 if problems or spent else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--rate", type=float, default=20.0, help="submissions a second")
    asked = parser.parse_args()
    sys.exit(asyncio.run(main(rounds=asked.rounds, rate=asked.rate)))
