"""Real processes for tests: a NATS server, a simulated node, an executor."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import httpx

from stack.ports import find_free_ports
from stack.processes import ChildProcess, ForkServerClient, PythonProcess
from tests.kit.http import http_client

ROOT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent
READY_S = 60.0


class ForkedProcess:
    """A Python program, forked from a process that has already imported its modules. Its output goes to a file."""

    def __init__(
        self, fork_server: ForkServerClient, module: str, argv: list[str], log: Path, env: dict[str, str] | None = None
    ) -> None:
        self._fork_server, self._log = fork_server, log
        self._call = PythonProcess(
            module.partition(".")[0], module, tuple(argv), {**os.environ, **(env or {})}, str(log)
        )
        self._child: ChildProcess | None = None

    async def start(self) -> None:
        self._child = await self._fork_server.spawn(self._call)

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    async def send(self, number: signal.Signals) -> None:
        """Send a signal without waiting for the exit."""
        assert self._child is not None
        self._child.signal(number)

    async def wait(self) -> None:
        """Wait until the process has exited."""
        assert self._child is not None
        async with asyncio.timeout(READY_S):
            await self._child.wait()

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self._child is None:
            return 0
        self._child.signal(number)
        async with asyncio.timeout(READY_S):
            code = await self._child.wait()
        self._child = None
        return code


class Process:
    """A program. Its output goes to a file."""

    def __init__(self, command: list[str], log: Path, env: dict[str, str] | None = None) -> None:
        self._command, self._log, self._env = command, log, env or {}
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self._log.open("ab") as out:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdout=out, stderr=out, env={**os.environ, **self._env}, cwd=ROOT
            )

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self._process is None:
            return 0
        if self._process.returncode is None:
            self._process.send_signal(number)
        async with asyncio.timeout(READY_S):
            code = await self._process.wait()
        self._process = None
        return code

    @property
    def output(self) -> str:
        return self._log.read_text()


async def wait_until_responding(url: str) -> None:
    """Wait until a URL responds."""
    async with asyncio.timeout(READY_S), http_client() as http:
        while True:
            try:
                await http.get(url)
            except httpx.HTTPError:
                await asyncio.sleep(0.05)
            else:
                return


async def wait_until_listening(port: int) -> None:
    """Wait until a port accepts connections."""
    async with asyncio.timeout(READY_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                await writer.wait_closed()
                return


class Node:
    """A simulated node with its control routes. A fork server makes its start a second of CPU cheaper."""

    def __init__(self, folder: Path, *options: str, fork_server: ForkServerClient | None = None) -> None:
        self.port = find_free_ports(1)[0]
        self.url = f"http://127.0.0.1:{self.port}"
        argv = ["--port", str(self.port), "--directory", str(folder / "node"), *options]
        log, env = folder / "simnode.log", {"COLUMNS": "200"}
        self._process: ForkedProcess | Process
        if fork_server is not None:
            self._process = ForkedProcess(fork_server, "simnode.__main__", argv, log, env)
        else:
            self._process = Process([sys.executable, "-m", "simnode", *argv], log, env)

    async def start(self) -> None:
        await self._process.start()
        await wait_until_responding(f"{self.url}/prompt")

    async def stop(self, number: signal.Signals = signal.SIGKILL) -> None:
        await self._process.stop(number)

    async def request(self, method: str, path: str, body: Any = None) -> Any:
        async with http_client(timeout=READY_S) as http:
            response = await http.request(method, f"{self.url}{path}", json=body)
            response.raise_for_status()
            return json.loads(response.content) if response.content else None

    async def arm_fault(self, name: str, **params: Any) -> None:
        await self.request("POST", "/simnode/faults", {"name": name, **params})

    async def count_fault_occurrences(self, name: str) -> int:
        """Return how often a fault has occurred."""
        faults = (await self.request("GET", "/simnode/faults"))["faults"]
        return sum(entry["fired"] for entry in faults if entry["name"] == name)

    async def ledger(self, prompt_id: Any) -> list[dict[str, Any]]:
        """Return everything that the node did for one prompt."""
        ledger = await self.request("GET", "/simnode/ledger")
        return [entry for entry in ledger["prompts"] if entry["prompt_id"] == str(prompt_id)]

    async def count_requests(self, route: str) -> int:
        """Return the number of requests to a route such as ``GET /queue``."""
        ledger = await self.request("GET", "/simnode/ledger")
        return int(ledger["requests"].get(route, 0))

    async def wait_until_ended(self, prompt_id: Any) -> None:
        async with asyncio.timeout(READY_S):
            while True:
                if any(entry["finished"] for entry in await self.ledger(prompt_id)):
                    return
                await asyncio.sleep(0.05)


class Nats:
    """A NATS server that can stop and restart at the same address."""

    def __init__(self, folder: Path) -> None:
        port = find_free_ports(1)[0]
        self.url = f"nats://127.0.0.1:{port}"
        self._port = port
        command = [str(BIN / "nats-server"), "-a", "127.0.0.1", "-p", str(port)]
        self._process = Process(command, folder / "nats.log")

    async def start(self) -> None:
        await self._process.start()
        await wait_until_listening(self._port)

    async def stop(self) -> None:
        await self._process.stop(signal.SIGKILL)
