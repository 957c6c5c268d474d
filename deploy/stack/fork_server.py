"""The fork server: a process that has imported everything once and forks the Python processes of a stack.

Importing FastAPI, SQLAlchemy and NATS takes seconds of CPU; a fork takes milliseconds and shares the memory. The fork
server of ``multiprocessing`` is no replacement: its children keep it alive, it imports the supervisor's ``__main__``
again, and it needs a second helper process.

Protocol on its socket, one JSON document per line::

    -> {"spawn": {name, module, argv, env, log, keep}, "id": I}     <- {"pid": N, "id": I}, once the module is imported
    -> {"signal": [pid, number]}
                                                                    <- {"exit": [pid, code]}

It forks while it still imports: a process starts as soon as its own module is imported.

When the socket closes, every child is killed, so no process outlives the supervisor.
"""

import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NoReturn

from stack.linux import die_with_parent, set_process_name

PRELOADED_MODULES = (
    "uvloop", "aiohttp.web", "PIL.Image", "PIL.ImageDraw", "PIL.PngImagePlugin", "stack.proxy", "simnode.__main__",
    "httptools", "fastapi", "uvicorn", "uvicorn.loops.uvloop", "uvicorn.protocols.http.httptools_impl",
    "uvicorn.protocols.websockets.auto", "uvicorn.lifespan.on", "nats", "pydantic_settings", "structlog", "typer",
    "rich.console", "sqlalchemy.ext.asyncio", "sqlalchemy.dialects.postgresql.asyncpg", "asyncpg",
    "gateway.__main__", "scheduler.__main__", "auth.__main__", "executor.__main__", "notifier.__main__",
    "websockets.asyncio.client", "httpx", "sqlite3", "alembic.command", "alembic.runtime.migration",
    "stack.run_commands",
)  # fmt: skip
"""Libraries and programs. A program comes right after its libraries, and the one that takes longest to start first."""


def preload(module: str) -> None:
    """Import a module. A failed import is logged, and fails again in the child that needs the module."""
    began = time.monotonic()
    try:
        importlib.import_module(module)
    except Exception as failure:  # noqa: BLE001 - the child that needs the module reports it too
        print(f"not preloaded: {module}: {failure!r}", flush=True)
    else:
        print(f"{time.monotonic() - began:6.3f} s {module}", flush=True)


class ForkServer:
    """Forks on request, reports every exit, and kills all children when the supervisor is gone."""

    def __init__(self, control: socket.socket, inherited: tuple[int, ...]) -> None:
        self._is_importing = False
        self._waiting: list[dict[str, Any]] = []  # spawns whose module is not imported yet
        self._control = control
        self._inherited = inherited
        self._wake_r, self._wake_w = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._children: set[int] = set()
        self._partial = b""

    def serve(self, modules: Iterable[str] = ()) -> None:
        """Import modules, then run until the socket closes."""
        for end in (self._wake_r, self._wake_w):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        signal.set_wakeup_fd(self._wake_w.fileno(), warn_on_full_buffer=False)
        self._selector.register(self._control, selectors.EVENT_READ)
        self._selector.register(self._wake_r, selectors.EVENT_READ)
        self._is_importing = True
        gc.disable()  # imports create objects that stay
        for module in modules:
            preload(module)
            self._fork_waiting_processes()
            if not self._handle_messages(wait_s=0):
                return
        gc.collect()
        gc.freeze()  # a garbage collection in a child would copy every page that it visits
        gc.enable()
        self._is_importing = False
        self._fork_waiting_processes()
        while self._handle_messages(wait_s=None):
            pass

    def _handle_messages(self, *, wait_s: float | None) -> bool:
        """Handle what has arrived; returns whether the socket is open."""
        ready = {key.fileobj for key, _ in self._selector.select(wait_s)}
        if self._wake_r in ready:
            with suppress(BlockingIOError):
                self._wake_r.recv(4096)
            self._reap_children()
        return self._control not in ready or self._read_commands()

    def kill_children(self) -> None:
        for pid in self._children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _read_commands(self) -> bool:
        try:
            received = self._control.recv(1 << 20)
        except ConnectionError:
            return False
        *lines, self._partial = (self._partial + received).split(b"\n")
        for line in lines:
            self._execute_command(json.loads(line))
        return bool(received)

    def _execute_command(self, command: dict[str, Any]) -> None:
        if "spawn" in command:
            self._waiting.append(command)
            self._fork_waiting_processes()
            return
        pid, number = command["signal"]
        if pid in self._children:  # not reaped yet, so its pid is not reused
            os.kill(pid, number)

    def _fork_waiting_processes(self) -> None:
        """Fork the waiting processes whose module is imported; all of them once the imports are done."""
        waiting, self._waiting = self._waiting, []
        for command in waiting:
            if self._is_importing and command["spawn"]["module"] not in sys.modules:
                self._waiting.append(command)
                continue
            pid = self._fork_process(command["spawn"])
            self._children.add(pid)
            self._send_message({"pid": pid, "id": command["id"]})

    def _fork_process(self, process: dict[str, Any]) -> int:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._run_child(parent, process)
        return pid

    def _run_child(self, parent: int, process: dict[str, Any]) -> NoReturn:
        code = 70
        try:
            die_with_parent(parent)
            gc.freeze()
            gc.enable()
            self._release_resources(keep=process["keep"])
            _set_up_process(process)
            code = run_module(process["module"], process["argv"])
        except BaseException:  # noqa: BLE001 - the last frame of a process
            traceback.print_exc()
        finally:
            with suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _release_resources(self, keep: list[int]) -> None:
        """Release the fork server's resources in a child, including its signal handlers."""
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self._selector.close()
        for end in (self._control, self._wake_r, self._wake_w):
            end.close()
        for descriptor in set(self._inherited) - set(keep):
            os.close(descriptor)

    def _reap_children(self) -> None:
        while self._children:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._children.discard(pid)
            self._send_message({"exit": [pid, os.waitstatus_to_exitcode(status)]})

    def _send_message(self, message: dict[str, Any]) -> None:
        with suppress(ConnectionError):  # the supervisor is gone; the next read shows that
            self._control.sendall(json.dumps(message).encode() + b"\n")


def _set_up_process(process: dict[str, Any]) -> None:
    """Set up a forked process: session, name, environment, log."""
    os.setsid()
    set_process_name(process["name"])
    os.environ.clear()
    os.environ.update(process["env"])
    time.tzset()
    null = os.open(os.devnull, os.O_RDONLY)
    log = os.open(process["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(null)
    os.close(log)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # both are text files here
    sys.argv = [process["module"], *process["argv"]]


def run_module(module: str, argv: list[str]) -> int:
    """Call a module's ``main(argv)`` and return the exit status of its process."""
    try:
        importlib.import_module(module).main(argv)
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
            return 1
        return ended.code or 0
    except KeyboardInterrupt:
        return 130
    return 0


def main(argv: list[str]) -> None:
    """Serve on the socket whose descriptor is the first argument. Children inherit the other descriptors."""
    sys.dont_write_bytecode = False  # overrides the environment: without bytecode files each start takes seconds longer
    control, *inherited = map(int, argv)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    fork_server = ForkServer(socket.socket(fileno=control), tuple(inherited))
    try:
        fork_server.serve(PRELOADED_MODULES)
    finally:
        fork_server.kill_children()


if __name__ == "__main__":
    main(sys.argv[1:])
