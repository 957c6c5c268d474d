"""The whole system as real processes, started with ``./dev up`` as an operator would."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import httpx
from nats.aio.client import Client
from websockets.asyncio.client import ClientConnection, connect

import nats
from auth.commands import bootstrap_user
from auth.settings import Settings
from contracts.auth.accounts import Role
from contracts.auth.tiers import Tier
from stack.health_probe import is_healthy
from stack.linux import die_with_parent
from stack.ports import LOOPBACK
from tests.kit.gateway_document import check_response
from tests.kit.http import NO_CERTIFICATES, http_client
from tests.kit.waiting import until

ROOT = Path(__file__).parents[2]
READY_S = 90.0
END_S = 60.0
ENDED = {"completed", "failed", "cancelled"}

HIGH_REGISTRATION_LIMITS = {"GATEWAY_REGISTER_PER_HOUR": "100000", "GATEWAY_REGISTER_NETWORK_PER_HOUR": "100000"}
"""All users of tests come from one address; a test of these limits gives others."""

HELLO = json.loads((ROOT / "tests/workflows/hello.json").read_text())


@dataclass
class Fleet:
    """A running system, and helpers to observe and break it."""

    connect_class: ClassVar[type[connect]] = connect
    """How ``watch`` opens a WebSocket."""

    state: Path
    credentials: dict[str, Any]
    process: subprocess.Popen[bytes]
    key: str = field(init=False)

    def __post_init__(self) -> None:
        self.key = self.credentials["demo_key"]

    @property
    def base_url(self) -> str:
        return str(self.credentials["base_url"])

    @property
    def nodes(self) -> list[str]:
        return list(self.credentials["nodes"])

    def client(self, key: str | None = None, **options: Any) -> httpx.AsyncClient:
        """Return an HTTP client with the demo user's key, or another key; "" for none.

        A response with an undeclared error fails the test. ``options`` are those of httpx.
        """
        credential = self.key if key is None else key
        headers = {"X-API-Key": credential} if credential else {}
        hooks = {"response": [check_response]}
        settings: dict[str, Any] = {"base_url": f"{self.base_url}/api/v1", "timeout": 20} | options
        return http_client(headers=headers, event_hooks=hooks, **settings)

    def watch(self, job_id: str, *, after: int | None = None, key: str | None = None) -> connect:
        """Return a WebSocket that watches a job, as a context manager."""
        query = "" if after is None else f"?after={after}"
        url = f"{self.base_url.replace('http', 'ws', 1)}/ws/jobs/{job_id}{query}"
        return self.connect_class(url, additional_headers={"X-API-Key": key or self.key}, max_size=2**24)

    async def connect_external_system(self, **login: str) -> tuple[Client, list[str]]:
        """Return a NATS connection with an external system's login, and the errors that the server reports to it."""
        problems: list[str] = []

        async def record_error(error: Exception) -> None:
            problems.append(str(error))

        connection = await nats.connect(
            self.credentials["nats_url"], **(login or self.credentials["outside"]), error_cb=record_error
        )
        return connection, problems

    def pid(self, name: str) -> int:
        return int(json.loads((self.state / "processes.json").read_text())[name])

    def kill(self, name: str) -> int:
        """Kill a process of the system with SIGKILL; return its former pid."""
        pid = self.pid(name)
        os.kill(pid, signal.SIGKILL)
        return pid

    async def wait_until_replaced(self, name: str, pid: int) -> None:
        """Wait until the supervisor has replaced the process that had this pid."""
        await until(lambda: self._pid_or_none(name) not in {None, pid}, within_s=60)

    async def wait_until_ready(self) -> None:
        """Wait until every service is ready, including those restarted after a kill."""
        for path in (self.state / "env").glob("*.env"):
            service = path.stem.partition("-")[0].upper()
            settings = dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)
            port = int(settings[f"{service}_PORT"])
            await until(partial(is_healthy, LOOPBACK, port, "/readyz"), within_s=READY_S)

    def _pid_or_none(self, name: str) -> int | None:
        try:
            return self.pid(name)
        except (OSError, ValueError, KeyError):
            return None

    async def submit(self, client: httpx.AsyncClient, **submission: Any) -> dict[str, Any]:
        """Submit a job and assert that it is accepted."""
        response = await client.post("/jobs", json=submission)
        assert response.status_code == 201, response.text
        job: dict[str, Any] = response.json()
        return job

    async def wait_until_ended(self, client: httpx.AsyncClient, job_id: str, within_s: float = END_S) -> dict[str, Any]:
        """Wait until the job has ended, despite interruptions; return it."""
        job: dict[str, Any] = {}

        async def is_ended() -> bool:
            nonlocal job
            try:
                response = await client.get(f"/jobs/{job_id}")
            except httpx.HTTPError:
                return False
            if not has_ended(response):
                return False
            job = response.json()
            return True

        await until(is_ended, within_s=within_s)
        return job

    async def read_ledgers(self) -> list[dict[str, Any]]:
        """Return the ledger of every simulated node: what it did, by prompt."""
        async with http_client(timeout=20) as client:
            responses = [await client.get(f"{node}/simnode/ledger") for node in self.nodes]
        return [response.json() for response in responses]

    async def list_runs(self) -> list[dict[str, Any]]:
        """Return every start of every prompt on every node."""
        return [prompt for ledger in await self.read_ledgers() for prompt in ledger["prompts"] if prompt["started"]]

    async def arm_fault(self, fault: str, node: int = 0, **parameters: Any) -> None:
        """Arm a fault of a simulated node."""
        async with http_client(timeout=20) as client:
            response = await client.post(f"{self.nodes[node]}/simnode/faults", json={"name": fault, **parameters})
        assert response.status_code == 200, response.text

    async def count_fault_occurrences(self, fault: str, node: int = 0) -> int:
        """Return how often a fault of a simulated node has occurred."""
        async with http_client(timeout=20) as client:
            faults = (await client.get(f"{self.nodes[node]}/simnode/faults")).json()["faults"]
        return sum(entry["fired"] for entry in faults if entry["name"] == fault)

    def create_user(self, name: str, tier: str, *, graph_policy: str | None = None) -> str:
        """Create a user as ``python -m auth bootstrap`` does and return its key.

        The graph policy is that of the tier unless given.
        """
        lines = (self.state / "env/auth.env").read_text().splitlines()
        given = (line.split("=", 1) for line in lines if "=" in line)
        settings = Settings.model_validate({name.removeprefix("AUTH_").lower(): value for name, value in given})
        making = bootstrap_user(settings, username=name, email=None, role=Role.USER, tier=Tier(tier))
        with ThreadPoolExecutor(1) as thread:  # it runs its own event loop
            user = thread.submit(asyncio.run, making).result(60)
        self.lift_rate_limit(user["user_id"])
        if graph_policy is not None:
            self.set_limits(user["user_id"], graph_policy=graph_policy)
        return user["key"]

    def lift_rate_limit(self, user_id: str) -> None:
        """Raise a user's request limit, so that a test can poll fast."""
        self.set_limits(user_id, requests_per_minute=1_000_000)

    def set_limits(self, user_id: str, **limits: Any) -> None:
        """Set individual limits of a user; other limits stay unchanged."""
        url = f"{self.base_url}/api/v1/admin/users/{user_id}"
        headers = {"X-API-Key": self.credentials["admin_key"]}
        with httpx.Client(headers=headers, verify=NO_CERTIFICATES, trust_env=False, timeout=20) as http:
            user = http.get(url).raise_for_status().json()
            own = {name: user["limits"][name] for name in user["own_limits"]}
            response = http.patch(url, json={"limits": own | limits})
        assert response.status_code == 200, response.text

    def stop(self) -> None:
        """Stop the system as Ctrl-C does."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)

    def logs(self) -> str:
        """Return the end of every log, for the message of a failure."""
        return "\n".join(f"--- {path.name}\n{path.read_text()[-1500:]}" for path in (self.state / "logs").glob("*"))


@asynccontextmanager
async def running_fleet(
    *options: str, state: Path | None = None, keep: bool = False, **environment: str
) -> AsyncIterator[Fleet]:
    """Run ``./dev up`` on free ports with its own state directory. It is always stopped at the end."""
    folder = state or Path(tempfile.mkdtemp(prefix="comfyfleet-fleet-"))
    parent = os.getpid()
    with (folder / "up.log").open("ab") as log:
        process = subprocess.Popen(  # noqa: ASYNC220 - takes a millisecond
            [sys.executable, "-m", "stack", "up", "--port", "0", "--state", str(folder), *options],
            stdout=log, stderr=log, preexec_fn=lambda: die_with_parent(parent), cwd=ROOT,  # noqa: PLW1509
            env={**os.environ, **HIGH_REGISTRATION_LIMITS, **environment},
        )  # fmt: skip
    try:
        try:
            await until(lambda: is_ready(folder, process.pid) or process.poll() is not None, within_s=READY_S)
        except TimeoutError as late:
            raise AssertionError((folder / "up.log").read_text()) from late
        assert process.poll() is None, (folder / "up.log").read_text()
        fleet = Fleet(folder, json.loads((folder / "credentials.json").read_text()), process)
        try:
            for user in ("demo", "admin"):
                await asyncio.to_thread(fleet.lift_rate_limit, fleet.credentials[f"{user}_user_id"])
            yield fleet
        finally:
            await asyncio.to_thread(fleet.stop)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def is_ready(state: Path, pid: int) -> bool:
    """Return whether this process is ready. A file of a killed predecessor does not count."""
    try:
        return (state / "ready").read_text().strip() == str(pid)
    except OSError:
        return False


def has_ended(response: httpx.Response) -> bool:
    """Return whether a response is a job that has ended, and not an error."""
    return response.status_code == 200 and response.json()["status"] in ENDED


async def is_processing(client: httpx.AsyncClient, job_id: str) -> bool:
    """Return whether a node executes the job."""
    return bool((await client.get(f"/jobs/{job_id}")).json()["status"] == "processing")


async def read_frames(socket: ClientConnection, within_s: float = END_S) -> list[dict[str, Any]]:
    """Read all frames until the server closes the WebSocket."""
    async with asyncio.timeout(within_s):
        return [json.loads(message) async for message in socket]
