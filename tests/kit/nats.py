"""A real nats-server for tests, without logins. It starts in tens of milliseconds and can be killed and restarted."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from nats.aio.client import Client

from stack.linux import die_with_parent
from stack.ports import find_free_ports
from tests.kit.freezing import freeze
from tests.kit.http import http_client
from tests.kit.waiting import until


async def wait_until_processed(client: Client) -> None:
    """Wait until the server has processed all earlier subscriptions and publishes.

    nats-py can send a PING before data that is still buffered; the second PING is sent after it.
    """
    for _ in range(2):
        await client.flush()


class NatsServer:
    """One server with JetStream in its own directory. A restart keeps port and data.

    Args:
        config: additional configuration, such as logins; read again at every start.
    """

    def __init__(self, config: str = "") -> None:
        self.config = config
        self.folder = Path(tempfile.mkdtemp(prefix="comfyfleet-nats-"))
        self.port, self._monitor = find_free_ports(2)
        self.url = f"nats://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        """Start and wait until it accepts connections."""
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
        await until(self._is_responding)

    def kill(self) -> None:
        """Kill it, like a power failure."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(10)
            self._process = None

    async def count_subscriptions(self) -> int:
        """Return the number of subscriptions of all clients."""
        async with http_client() as http:
            return int((await http.get(f"http://127.0.0.1:{self._monitor}/varz")).json()["subscriptions"])

    def read_log(self) -> str:
        """Return its log since the first start."""
        return (self.folder / "log").read_text()

    def signal(self, number: int) -> None:
        assert self._process is not None
        if number == signal.SIGSTOP:
            freeze(self._process.pid)
        else:
            self._process.send_signal(number)

    def remove(self) -> None:
        """Stop it and delete its data."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    async def _is_responding(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        said = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return said.startswith(b"INFO")


@asynccontextmanager
async def running_nats() -> AsyncIterator[NatsServer]:
    """Run a separate server; it is removed at the end."""
    server = NatsServer()
    try:
        await server.start()
        yield server
    finally:
        server.remove()
