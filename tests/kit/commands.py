"""Runs command line programs as forks of a process that has imported them, which saves seconds of CPU per start."""

import json
import os
import signal
import socket
import sys
from pathlib import Path

from auth.__main__ import main as run_auth
from comfyfleet_client.cli.main import run as run_comfyfleet
from stack.fork_server import ForkServer
from stack.processes import ForkServerClient, PythonProcess

LATER = ("httpx", "httpcore", "h11", "anyio", "pydantic", "certifi", "zoneinfo", "rich.table", "encodings.idna")
"""What a command imports when it needs it."""


PROGRAMS = {"comfyfleet": run_comfyfleet, "auth": run_auth}


class Commands:
    """Runs commands of a program, each in its own process.

    Args:
        folder: folder of the log.
        program: in ``PROGRAMS``.
    """

    def __init__(self, folder: Path, program: str = "comfyfleet") -> None:
        self._program = program
        self._log = str(folder / "commands.log")
        self._fork_server = ForkServerClient(folder / "commands.log", program=__name__)
        self._count = 0

    async def run(self, argv: list[str], stdin: bytes, cwd: Path, env: dict[str, str]) -> tuple[int, bytes, bytes]:
        """Return the exit status of a command and its output to both streams."""
        self._count += 1
        files = [cwd / f".command-{self._count}.{stream}" for stream in ("in", "out", "err")]
        files[0].write_bytes(stdin)
        call = json.dumps(
            {"program": self._program, "argv": argv, "cwd": str(cwd), "files": [str(file) for file in files]}
        )
        child = await self._fork_server.spawn(PythonProcess(self._program, __name__, (call,), env, self._log))
        status = await child.wait()
        _, out, err = (file.read_bytes() for file in files)
        for file in files:
            file.unlink()
        return status, out, err

    async def close(self) -> None:
        await self._fork_server.close()


def main(argv: list[str]) -> None:
    """Run the command, in a forked process."""
    call = json.loads(argv[0])
    os.chdir(call["cwd"])
    for number, file in enumerate(call["files"]):
        descriptor = os.open(file, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.argv = [call["program"], *call["argv"]]
    PROGRAMS[call["program"]]()


def serve(descriptor: int) -> None:
    """Serve ``Commands`` on a socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    fork_server = ForkServer(socket.socket(fileno=descriptor), ())
    try:
        fork_server.serve(LATER)
    finally:
        fork_server.kill_children()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
