"""Forked processes: environment, reported exit, and no process left over."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from stack.layout import StateLayout, read_last_lines
from stack.process_supervisor import ProcessSupervisor, ProcessUnit
from stack.processes import ChildProcess, ForkServerClient, PythonProcess, start_program
from tests.kit.waiting import until


@pytest.fixture
async def fork_server(layout: StateLayout) -> AsyncIterator[ForkServerClient]:
    fork_server = ForkServerClient(layout.get_log_path("fork_server"))
    await fork_server.start()
    yield fork_server
    await fork_server.close()


def call(layout: StateLayout, *steps: dict[str, object], name: str = "child") -> PythonProcess:
    env = {"PATH": os.defpath, "ONLY": "this"}
    return PythonProcess(name, "stack.run_commands", (json.dumps(steps),), env, str(layout.get_log_path(name)))


def step(code: str) -> dict[str, object]:
    return {"module": "tests.integration.stack.snippet", "argv": [code], "env": {}}


def unimported(layout: StateLayout) -> PythonProcess:
    """Return a call of a module that the fork server does not import."""
    env = {"PATH": os.defpath}
    log = str(layout.get_log_path("unimported"))
    return PythonProcess("unimported", "tests.integration.stack.snippet", ("pass",), env, log)


SLEEP = step("import time; print('up', flush=True); time.sleep(600)")


async def wait_until_logged(log: Path, word: str) -> None:
    async def said() -> bool:
        return word in read_last_lines(log)

    await until(said)


def read_process_stat(pid: int) -> list[str]:
    """Return the fields of ``/proc/PID/stat`` from the state on; empty if there is no such process."""
    path = Path(f"/proc/{pid}/stat")
    return path.read_text().rpartition(")")[2].split() if path.exists() else []


async def wait_until_exited(pid: int) -> None:
    """Wait until a process has exited, or is a zombie that its new parent has not reaped."""

    async def gone() -> bool:
        return read_process_stat(pid)[:1] in ([], ["Z"])

    await until(gone)


async def test_child_process_has_its_environment_name_and_log(
    fork_server: ForkServerClient, layout: StateLayout
) -> None:
    said = step("import os; print(dict(os.environ), open('/proc/self/comm').read())")
    child = await fork_server.spawn(call(layout, said, name="scheduler"))
    assert await asyncio.wait_for(child.wait(), 30) == 0
    log = layout.get_log_path("scheduler").read_text()
    assert str({"PATH": os.defpath, "ONLY": "this"}) in log
    assert "scheduler" in log


async def test_child_exit_status_is_reported(fork_server: ForkServerClient, layout: StateLayout) -> None:
    ends = {"raise SystemExit(3)": 3, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)": -9, "1 / 0": 70}
    for code, expected in ends.items():
        child = await fork_server.spawn(call(layout, step(code)))
        assert await asyncio.wait_for(child.wait(), 30) == expected
    assert "ZeroDivisionError" in layout.get_log_path("child").read_text()


@pytest.mark.requirement("F-166")
async def test_child_starts_while_the_fork_server_imports_what_others_need(
    layout: StateLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = layout.state / "released"
    monkeypatch.setenv("RELEASED", str(released))
    fork_server = ForkServerClient(layout.get_log_path("fork_server"), program="tests.integration.stack.slow_imports")
    later = asyncio.create_task(fork_server.spawn(unimported(layout)))
    try:
        child = await fork_server.spawn(call(layout, step("raise SystemExit(3)")))
        await wait_until_exited(child.pid)
        assert not later.done()
        released.touch()
        assert await child.wait() == 3
        assert await (await later).wait() == 0
    finally:
        await fork_server.close()


async def test_ctrl_c_and_sigterm_work_in_a_child(fork_server: ForkServerClient, layout: StateLayout) -> None:
    for number, expected in ((signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)):
        layout.get_log_path("child").unlink(missing_ok=True)
        child = await fork_server.spawn(call(layout, SLEEP))
        await wait_until_logged(layout.get_log_path("child"), "up")
        child.signal(number)
        assert await asyncio.wait_for(child.wait(), 30) == expected


async def test_children_die_with_the_fork_server_and_a_new_one_replaces_it(
    fork_server: ForkServerClient, layout: StateLayout
) -> None:
    child = await fork_server.spawn(call(layout, SLEEP))
    await wait_until_logged(layout.get_log_path("child"), "up")
    os.kill(int(read_process_stat(child.pid)[1]), signal.SIGKILL)
    assert await asyncio.wait_for(child.wait(), 30) == -9
    await wait_until_exited(child.pid)
    again = await fork_server.spawn(call(layout, step("print('again')")))
    assert await asyncio.wait_for(again.wait(), 30) == 0


async def test_crashed_process_is_restarted(layout: StateLayout) -> None:
    pids: asyncio.Queue[int] = asyncio.Queue()

    async def start() -> ChildProcess:
        return start_program(["sleep", "600"], layout.get_log_path("sleep"))

    async def ready() -> bool:
        return True

    def changed(_: str, pid: int | None) -> None:
        if pid:
            pids.put_nowait(pid)

    supervisor = ProcessSupervisor(ProcessUnit("sleep", start, ready), changed, lambda _: None)
    supervisor.start()
    async with asyncio.timeout(30):
        seen = [await pids.get()]
        for _ in range(3):
            os.kill(seen[-1], signal.SIGKILL)
            seen.append(await pids.get())
    await supervisor.stop()
    assert len(set(seen)) == 4
    assert not read_process_stat(seen[-1])
