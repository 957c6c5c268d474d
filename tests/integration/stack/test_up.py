"""``./dev up`` as a whole: files it writes, faults it survives, processes and files that remain."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from stack.layout import StateLayout, read_json
from stack.ports import open_listener
from tests.integration.stack.test_child_processes import read_process_stat, wait_until_exited
from tests.kit.http import http_client
from tests.kit.waiting import until

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

READY_S = 100.0
NAMES = {
    "auth", "gateway", "scheduler", "notifier", "executor-1", "executor-2", "nats", "postgres", "node-1", "node-2",
    "proxy",
}  # fmt: skip


class Up:
    """A running ``python -m stack up``."""

    def __init__(self, layout: StateLayout, process: asyncio.subprocess.Process) -> None:
        self.layout = layout
        self.process = process

    @property
    def pids(self) -> dict[str, int]:
        return dict(read_json(self.layout.processes_file) or {})

    @property
    def credentials(self) -> dict[str, Any]:
        return dict(read_json(self.layout.credentials_file))

    async def is_ready(self) -> bool:
        assert self.process.returncode is None, await self.read_output()
        return self.layout.ready_file.exists() and self.layout.ready_file.read_text() == str(self.process.pid)

    async def read_output(self) -> str:
        assert self.process.stdout
        return (await self.process.stdout.read()).decode()

    async def is_responding(self) -> bool:
        try:
            async with http_client(base_url=self.credentials["base_url"]) as client:
                answer = await client.get("/readyz")
                print(answer.text)  # processes that are not ready, shown if the test times out
                return answer.status_code == 200
        except httpx.HTTPError:
            return False


async def start(layout: StateLayout, *options: str) -> Up:
    argv = ("-m", "stack", "up", "--state", str(layout.state), "--port", "0", *options)
    pipe = asyncio.subprocess.PIPE
    return Up(layout, await asyncio.create_subprocess_exec(sys.executable, *argv, stdout=pipe, stderr=pipe))


@asynccontextmanager
async def running(layout: StateLayout, *options: str) -> AsyncIterator[Up]:
    up = await start(layout, *options)
    try:
        await until(up.is_ready, READY_S)
        yield up
    finally:
        if up.process.returncode is None:
            up.process.send_signal(signal.SIGINT)
            await asyncio.wait_for(up.process.wait(), 60)


async def test_dev_up_starts_a_working_system(layout: StateLayout) -> None:
    async with running(layout, "--step-ms", "1") as up:
        assert set(up.pids) == NAMES
        credentials = up.credentials
        assert {"base_url", "nats_url", "admin_key", "demo_key", "nodes", "outside"} <= set(credentials)
        assert len(credentials["nodes"]) == 2
        for path in (layout.credentials_file, layout.secrets_file, layout.nats / "nats.conf"):
            assert oct(os.stat(path).st_mode)[-3:] == "600"  # noqa: PTH116 - a test
        await until(up.is_responding)

        second = await start(layout)
        assert await asyncio.wait_for(second.process.wait(), 60) == 1
        assert "in use" in await second.read_output()

        before = up.pids
        for name, pid in before.items():
            os.kill(pid, signal.SIGKILL)
            await until(_wait_until_replaced(up, name, pid))
        await until(up.is_responding, 60)
        await until(lambda: set(up.pids) == NAMES)
    await _wait_until_all_exited(before.values())
    assert up.process.returncode == 0
    assert up.pids == {}


async def test_killed_stack_leaves_no_process_and_restarts_with_its_state(layout: StateLayout) -> None:
    up = await start(layout)
    await until(up.is_ready, READY_S)
    pids, before = up.pids, up.credentials
    up.process.kill()
    await up.process.wait()
    await _wait_until_all_exited(pids.values())
    migrations = layout.get_log_path("migrate").stat()
    async with running(layout) as again:
        assert layout.get_log_path("migrate").stat() == migrations  # the schemas are current
        assert again.credentials["demo_key"] == before["demo_key"]
        async with http_client(base_url=again.credentials["base_url"]) as client:
            listed = await client.get("/api/v1/jobs", headers={"X-API-Key": before["demo_key"]})
            assert listed.status_code == 200, listed.text
            assert (await client.get("/api/v1/jobs")).status_code == 401


async def test_error_names_the_public_port_that_is_in_use(layout: StateLayout) -> None:
    with open_listener(0) as taken:
        port = taken.getsockname()[1]
        up = await start(layout, "--port", str(port))
        assert await asyncio.wait_for(up.process.wait(), 60) == 1
        assert f"port {port} is in use" in await up.read_output()


async def test_dev_down_stops_the_system(layout: StateLayout) -> None:
    async with running(layout, "--bare") as up:
        pids = up.pids
        argv = ("-m", "stack", "down", "--state", str(layout.state))
        down = await asyncio.create_subprocess_exec(sys.executable, *argv)
        assert await asyncio.wait_for(down.wait(), 60) == 0
        assert await asyncio.wait_for(up.process.wait(), 60) == 0
    await _wait_until_all_exited(pids.values())


def _wait_until_replaced(up: Up, name: str, pid: int) -> Any:
    async def replaced() -> bool:
        return up.pids.get(name, pid) != pid

    return replaced


async def _wait_until_all_exited(pids: Any) -> None:
    for pid in pids:
        await wait_until_exited(pid)
        assert read_process_stat(pid)[:1] in ([], ["Z"])


async def test_demo_saves_images(tmp_path: Path) -> None:
    argv = ("-m", "stack", "demo", "--output", str(tmp_path / "pictures"), "--step-ms", "5")
    process = await asyncio.create_subprocess_exec(sys.executable, *argv, stdout=asyncio.subprocess.PIPE)
    said, _ = await asyncio.wait_for(process.communicate(), 200)
    assert process.returncode == 0, said.decode()
    pictures = {path.name: path.read_bytes() for path in (tmp_path / "pictures").iterdir()}
    assert set(pictures) == {"lighthouse.png", "harbour.png"}
    assert all(content.startswith(b"\x89PNG") for content in pictures.values())
