"""PgBouncer in transaction mode in front of a PostgreSQL server, if installed (Debian package ``pgbouncer``)."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

import asyncpg

from stack.linux import die_with_parent
from stack.ports import find_free_ports
from stack.unprivileged import choose_runner
from tests.kit.waiting import until


def find_pgbouncer() -> str | None:
    return shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")


class PgBouncer:
    """A pooler with two connections for each database and login, in its own directory.

    Args:
        server: URL of any database of the server; its login is the only one that is allowed.
        certificate: file with a certificate and its key; then clients must use TLS.
    """

    def __init__(self, server: str, certificate: Path | None = None) -> None:
        self._server = urlsplit(server)
        self.folder = Path(tempfile.mkdtemp(prefix="comfyfleet-pgbouncer-"))
        self.folder.chmod(0o755)
        self.port = find_free_ports(1)[0]
        self._process: subprocess.Popen[bytes] | None = None
        login = f'"{self._server.username}" "{unquote(self._server.password or "")}"\n'
        (self.folder / "users").write_text(login)
        tls = ""
        if certificate is not None:
            shutil.copy(certificate, self.folder / "certificate.pem")
            tls = (
                f"client_tls_sslmode = require\nclient_tls_cert_file = {self.folder}/certificate.pem\n"
                f"client_tls_key_file = {self.folder}/certificate.pem\n"
            )
        (self.folder / "ini").write_text(
            f"[databases]\n* = host={self._server.hostname} port={self._server.port}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\n"
            f"auth_type = plain\nauth_file = {self.folder}/users\npool_mode = transaction\ndefault_pool_size = 2\n{tls}"
        )

    async def start(self) -> None:
        program = find_pgbouncer()
        assert program is not None
        runner, parent = choose_runner(Path(program), self.folder), os.getpid()

        def become() -> None:
            runner.switch_user()
            die_with_parent(parent)

        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - takes a millisecond
                [program, str(self.folder / "ini")],
                stdout=log,
                stderr=log,
                preexec_fn=become,  # noqa: PLW1509 - system calls only
                cwd="/",
            )
        await until(self._is_responding)

    def remove(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database_url: str) -> str:
        """Return a database's URL through the pooler."""
        parts = urlsplit(database_url)
        return database_url.replace(f"{parts.hostname}:{parts.port}", f"127.0.0.1:{self.port}")

    async def _is_responding(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text()
        try:
            connection = await asyncpg.connect(
                self.url(self._server.geturl()).replace("+asyncpg", ""), timeout=2, statement_cache_size=0
            )
        except (OSError, asyncpg.PostgresError, TimeoutError):
            return False
        await connection.close()
        return True
