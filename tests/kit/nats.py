"""A real nats-server for tests, without logins: started in tens of milliseconds, killed and brought back at will."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx
from nats.aio.client import Client

from stack.linux import die_with_parent
from stack.ports import free_ports
from tests.kit.waiting import until


async def settled(client: Client) -> None:
    """Return once the server has read all that was subscribed and published.

    nats-py's PING overtakes what is still to be written: the second one comes behind it.
    """
    for _ in range(2):
        await client.flush()


class NatsServer:
    """One server with JetStream in a directory of its own; it keeps port and store when it is restarted.

    Args:
        config: more of its configuration, such as logins; read again at every start.
    """

    def __init__(self, config: str = "") -> None:
        self.config = config
        self.folder = Path(tempfile.mkdtemp(prefix="comfyfleet-nats-"))
        self.port, self._monitor = free_ports(2)
        self.url = f"nats://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start and wait until it takes connections."""
        parent = os.getpid()
        program = Path(sys.executable).with_name("nats-server")
        argv = [str(program), "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(self.folder / "store")]
        argv += ["-m", str(self._monitor)]
        if self.config:
            (self.folder / "conf").write_text(self.config)
            argv += ["-c", str(self.folder / "conf")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - takes a millisecond
                argv,
                stdout=log,
                stderr=log,
                preexec_fn=lambda: die_with_parent(parent),  # noqa: PLW1509 - one system call
                start_new_session=True,
            )
        await until(self._answers)

    def kill(self) -> None:
        """End it at once, as a power failure would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(10)
            self._process = None

    async def subscriptions(self) -> int:
        """How many there are, of all its clients."""
        async with httpx.AsyncClient(trust_env=False) as http:
            return int((await http.get(f"http://127.0.0.1:{self._monitor}/varz")).json()["subscriptions"])

    def log(self) -> str:
        """What it has logged so far, over all its lives."""
        return (self.folder / "log").read_text()

    def signal(self, number: int) -> None:
        """Send the running server a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def remove(self) -> None:
        """End it and remove what it stored."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        said = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return said.startswith(b"INFO")
