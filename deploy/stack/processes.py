"""Starts processes and waits for their exit: programs directly, Python services as forks of the fork server."""

import asyncio
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from stack.linux import die_with_parent

KILLED = -signal.SIGKILL


class ForkServerExited(Exception):
    """The fork server exited. Try again: the next request starts another."""


@dataclass(frozen=True, slots=True)
class PythonProcess:
    """A Python process: ``module.main(argv)`` with exactly this environment.

    Attributes:
        keep: file descriptors of the supervisor that it inherits.
    """

    name: str
    module: str
    argv: tuple[str, ...]
    env: dict[str, str]
    log: str
    keep: tuple[int, ...] = ()


class ChildProcess:
    """A running process. ``exited`` resolves to its exit status, negative for a signal."""

    def __init__(self, pid: int, send: Callable[[int], None]) -> None:
        self.pid = pid
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._send = send

    def signal(self, number: int) -> None:
        """Send a signal unless the process has exited, so that a process that reuses its pid is never hit."""
        if not self.exited.done():
            self._send(number)

    async def wait(self) -> int:
        """Wait for the process to exit; returns the exit status."""
        return await asyncio.shield(self.exited)

    async def stop(self, number: int, grace_s: float) -> None:
        """Terminate the process; after ``grace_s`` seconds kill it."""
        self.signal(number)
        try:
            async with asyncio.timeout(grace_s):
                await self.wait()
        except TimeoutError:
            self.signal(signal.SIGKILL)
            await self.wait()


def start_program(
    argv: list[str],
    log: Path,
    *,
    env: dict[str, str] | None = None,
    switch_user: Callable[[], None] = lambda: None,
    stdin: IO[bytes] | int = subprocess.DEVNULL,
    pass_fds: tuple[int, ...] = (),
) -> ChildProcess:
    """Start a program in its own session. It logs to a file and is killed when this process dies.

    Args:
        argv: program and arguments.
        log: its output is appended here.
        env: its whole environment; None for this process's.
        switch_user: called in the child before the program starts, to change its user.
        stdin: its standard input.
        pass_fds: file descriptors that it inherits.
    """
    parent = os.getpid()

    def prepare() -> None:
        switch_user()
        die_with_parent(parent)

    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        process = subprocess.Popen(
            argv,
            stdin=stdin,
            stdout=descriptor,
            stderr=descriptor,
            env=env,
            pass_fds=pass_fds,
            start_new_session=True,
            preexec_fn=prepare,  # noqa: PLW1509 - forked from the main thread, and there is no other
        )
    finally:
        os.close(descriptor)
    child = ChildProcess(process.pid, process.send_signal)
    _watch_exit(process, child)
    return child


def _watch_exit(process: subprocess.Popen[bytes], child: ChildProcess) -> None:
    loop = asyncio.get_running_loop()
    if not hasattr(os, "pidfd_open"):
        loop.run_in_executor(None, process.wait).add_done_callback(lambda done: child.exited.set_result(done.result()))
        return
    pidfd = os.pidfd_open(process.pid)

    def on_exit() -> None:
        loop.remove_reader(pidfd)
        os.close(pidfd)
        child.exited.set_result(process.wait())

    loop.add_reader(pidfd, on_exit)


class ForkServerClient:
    """The supervisor's connection to the fork server. A fork server that has died is restarted by the next request.

    Args:
        program: the module of the fork server; it decides what is imported before the fork.
    """

    def __init__(self, log: Path, inherited: tuple[int, ...] = (), *, program: str = "stack.fork_server") -> None:
        self._log = log
        self._inherited = inherited
        self._program = program
        self._process: ChildProcess | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._listening: asyncio.Task[None] | None = None
        self._pending: dict[int, asyncio.Future[ChildProcess]] = {}
        self._ids = itertools.count()
        self._children: dict[int, ChildProcess] = {}
        self._starting = asyncio.Lock()

    async def start(self) -> None:
        """Start the fork server if it is not running. Returns before it has imported anything."""
        async with self._starting:
            if self._listening is not None and not self._listening.done():
                return
            ours, theirs = socket.socketpair()
            argv = [sys.executable, "-m", self._program, str(theirs.fileno()), *map(str, self._inherited)]
            with theirs:
                self._process = start_program(argv, self._log, pass_fds=(theirs.fileno(), *self._inherited))
            reader, self._writer = await asyncio.open_connection(sock=ours, limit=1 << 20)
            self._listening = asyncio.create_task(self._read_messages(reader, self._writer), name="fork_server")

    async def spawn(self, call: PythonProcess) -> ChildProcess:
        """Fork one process.

        Raises:
            ForkServerExited: the fork server died meanwhile.
        """
        await self.start()
        reply: asyncio.Future[ChildProcess] = asyncio.get_running_loop().create_future()
        number = next(self._ids)
        self._pending[number] = reply
        self._send({"spawn": asdict(call), "id": number})
        return await reply

    async def close(self) -> None:
        """Stop the fork server and all its children."""
        if self._writer is not None and self._process is not None:
            self._writer.close()
            await self._process.stop(signal.SIGTERM, 5)
        if self._listening is not None:
            await self._listening

    def _send(self, command: dict[str, Any]) -> None:
        if self._writer is not None:
            self._writer.write(json.dumps(command).encode() + b"\n")

    async def _read_messages(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while line := await reader.readline():
                self._handle_message(json.loads(line))
        pending, self._pending = self._pending, {}
        for reply in pending.values():
            if not reply.done():  # the caller was cancelled meanwhile
                reply.set_exception(ForkServerExited())
        for child in self._children.values():
            child.exited.set_result(KILLED)
        self._children.clear()
        writer.close()

    def _handle_message(self, message: dict[str, Any]) -> None:
        if "pid" in message:
            pid: int = message["pid"]
            child = self._children[pid] = ChildProcess(pid, lambda number: self._send({"signal": [pid, number]}))
            reply = self._pending.pop(message["id"])
            if reply.done():  # the caller was cancelled meanwhile
                child.signal(signal.SIGKILL)
            else:
                reply.set_result(child)
            return
        pid, code = message["exit"]
        self._children.pop(pid).exited.set_result(code)
