import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.contract.simnode.driver import DEADLINE_S, saved


@asynccontextmanager
async def program(directory: Path, *options: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    command = [sys.executable, "-m", "simnode", "--port", "0", "--directory", str(directory), *options]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 30)
    try:
        yield process, line.decode().split(": ", 1)[1].strip()
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def wait_for_exit(process: asyncio.subprocess.Process) -> int:
    return await asyncio.wait_for(process.wait(), DEADLINE_S)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_stops_the_program_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    async with program(tmp_path, "--version", "0.3.64") as (process, url), aiohttp.ClientSession() as http:
        async with http.get(f"{url}/system_stats") as answer:
            assert (await answer.json())["system"]["comfyui_version"] == "0.3.64"
        async with http.ws_connect(f"{url}/ws?clientId=a") as socket:
            process.send_signal(number)
            await socket.receive()
            assert await wait_for_exit(process) == 0


async def test_exit_fault_ends_the_program_with_status_137(tmp_path: Path) -> None:
    async with program(tmp_path) as (process, url), aiohttp.ClientSession() as http:
        await http.post(f"{url}/simnode/faults", json={"name": "exit", "when": "accepted"})
        with pytest.raises(aiohttp.ClientError):
            await http.post(f"{url}/prompt", json={"prompt": saved()})
        assert await wait_for_exit(process) == 137


async def test_client_id_that_is_not_a_string_crashes_the_program(tmp_path: Path) -> None:
    async with program(tmp_path) as (process, url), aiohttp.ClientSession() as http:
        async with http.post(f"{url}/prompt", json={"prompt": saved(), "client_id": {}}) as answer:
            assert answer.status == 200
        assert await wait_for_exit(process) == 1
