"""Start of a service while PostgreSQL, NATS or its schema is missing, and with a newer schema."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from stack.ports import find_free_ports
from stack.processes import ChildProcess, ForkServerClient, PythonProcess
from tests.kit.http import http_client
from tests.kit.migrations import apply_later_migration, find_head_revision
from tests.kit.nats import NatsServer
from tests.kit.postgres import PostgresServer
from tests.kit.waiting import until

PASSWORD = "a-password-that-no-log-shows"
ENDS_S = 80.0  # each start takes seconds of CPU
COMPATIBLE = """
oldest_code = "{head}"

def upgrade():
    op.add_column("outbox", sa.Column("later", sa.Text))
    create_index_concurrently("ix_outbox_later", "outbox", ["later"])
"""
INCOMPATIBLE = """
oldest_code = revision

def upgrade():
    op.create_table("later", sa.Column("id", sa.Integer, primary_key=True))  # no loop of the running code fails on it
"""


@dataclass
class Process:
    """A service in its own process."""

    child: ChildProcess
    port: int
    log: Path

    async def exit_status(self) -> int:
        async with asyncio.timeout(ENDS_S):
            return await self.child.wait()

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Return the log entries with this event."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("event") == event]

    async def get(self, path: str) -> httpx.Response | None:
        """Return the response; None if there is no connection."""
        async with http_client(base_url=f"http://127.0.0.1:{self.port}") as http:
            try:
                return await http.get(path)
            except httpx.HTTPError:
                return None

    async def checks(self) -> dict[str, bool] | None:
        answer = await self.get("/readyz")
        return answer.json()["checks"] if answer else None

    async def is_ready(self) -> bool:
        answer = await self.get("/readyz")
        return answer is not None and answer.status_code == 200


class Machine:
    """Runs services."""

    def __init__(self, folder: Path, fork_server: ForkServerClient) -> None:
        self._folder, self._fork_server = folder, fork_server

    async def start(self, service: str, **settings: str) -> Process:
        return await self._run(service, "serve", settings)

    async def migrate(self, service: str, **settings: str) -> Process:
        """Run the migrations; return the ended process."""
        process = await self._run(service, "migrate", settings)
        await process.exit_status()
        return process

    async def _run(self, service: str, command: str, settings: dict[str, str]) -> Process:
        port = find_free_ports(1)[0]
        log = self._folder / f"{service}-{command}-{port}.log"
        executor = {"EXECUTOR_NODE": "n", "EXECUTOR_JOURNAL_PATH": str(self._folder / "journal.db")}
        env = {
            "PATH": os.environ["PATH"],
            "SECRET_KEY": "0123456789abcdef" * 4,
            f"{service.upper()}_PORT": str(port),
            **(executor if service == "executor" else {}),
            **settings,
        }
        call = PythonProcess(service, f"{service}.__main__", (command,), env, str(log))
        return Process(await self._fork_server.spawn(call), port, log)


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    fork_server = ForkServerClient(tmp_path / "fork_server.log")
    try:
        yield Machine(tmp_path, fork_server)
    finally:
        await fork_server.close()


@pytest.fixture
async def empty_database(postgres_server: PostgresServer) -> AsyncIterator[str]:
    """The URL of a database without tables."""
    connection = await asyncpg.connect(postgres_server._dsn("postgres"))
    try:
        await connection.execute("CREATE DATABASE starting")
        yield postgres_server._dsn("starting")
        await connection.execute("DROP DATABASE starting WITH (FORCE)")
    finally:
        await connection.close()


@pytest.mark.requirement("setting START_WITHIN_S")
async def test_start_without_a_dependency_logs_the_reason_and_exits_with_status_1(
    machine: Machine, own_nats: NatsServer, postgres_server: PostgresServer, empty_database: str
) -> None:
    known = {"NATS_URL": own_nats.url, "START_WITHIN_S": "8"}
    place = f"127.0.0.1:{postgres_server.port}"
    faults = {
        "auth": ("database", "password authentication failed", f"postgres://nobody:{PASSWORD}@{place}/postgres"),
        "scheduler": ("database", "does not exist", postgres_server._dsn("no-such-database")),
        "gateway": ("database", "Connection refused", f"postgresql://nobody:{PASSWORD}@127.0.0.1:1/?sslmode=prefer"),
        "notifier": ("schema", "no tables", empty_database),
        "executor": ("nats", "Connection refused", ""),
    }
    started = {
        service: await machine.start(
            service, **known | ({"DATABASE_URL": url} if url else {"NATS_URL": "nats://x:y@127.0.0.1:1"})
        )
        for service, (_, _, url) in faults.items()
    }

    for service, process in started.items():
        assert await process.exit_status() == 1, process.log.read_text()
        dependency, reason, _ = faults[service]
        waiting, failed = (
            [line for line in process.logged(event) if line["dependency"] == dependency]
            for event in ("service.waiting", "service.start_failed")
        )
        assert len(waiting) == len(failed) == 1, process.log.read_text()
        assert reason in failed[0]["reason"], failed
        assert failed[0]["waited_s"] == 8
        assert {*failed[0]} >= {"where", "action"}
        assert PASSWORD not in process.log.read_text()


@pytest.mark.timeout(300)
async def test_service_starts_and_stops_with_the_schema_versions_that_it_supports(
    machine: Machine, own_nats: NatsServer, empty_database: str, tmp_path: Path
) -> None:
    head = find_head_revision("scheduler")
    settings = {"NATS_URL": own_nats.url, "DATABASE_URL": empty_database}
    process = await machine.start("scheduler", **settings)

    async def waits_for_its_schema() -> bool:
        checks = await process.checks() or {}
        return {name: checks.get(name) for name in ("nats", "postgres", "schema")} == {
            "nats": True,
            "postgres": True,
            "schema": False,
        }

    await until(waits_for_its_schema, ENDS_S)
    alive = await process.get("/healthz")
    assert alive is not None
    assert alive.status_code == 200
    waiting = next(line for line in process.logged("service.waiting") if line["dependency"] == "schema")
    assert waiting["action"] == "Run: python -m scheduler migrate"

    migrated = await machine.migrate("scheduler", **settings)
    assert await migrated.exit_status() == 0, migrated.log.read_text()
    await until(process.is_ready, ENDS_S)

    await apply_later_migration(tmp_path / "compatible", "scheduler", empty_database, COMPATIBLE.format(head=head))
    await until(process.is_ready)
    restarted = await machine.start("scheduler", **settings)
    await until(restarted.is_ready, ENDS_S)
    assert [running.logged("service.schema_incompatible") for running in (process, restarted)] == [[], []]
    again = await machine.migrate("scheduler", **settings)
    assert await again.exit_status() == 0, again.log.read_text()
    assert again.logged("migrate.schema_is_newer")

    connection = await asyncpg.connect(empty_database)
    assert await connection.fetchval("SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_outbox_later'::regclass")
    await connection.execute("DELETE FROM schema_revisions WHERE revision > $1", head)
    await connection.execute("UPDATE alembic_version SET version_num = $1", head)
    await connection.close()

    await apply_later_migration(tmp_path / "incompatible", "scheduler", empty_database, INCOMPATIBLE)
    checks = await process.checks()
    assert checks is None or checks["schema"] is False  # None: the process has ended already
    for running in (process, restarted):
        assert await running.exit_status() == 1
        assert "needs code" in running.logged("service.schema_incompatible")[0]["reason"]
    refused = await machine.migrate("scheduler", **settings)
    assert await refused.exit_status() == 1
    assert "needs code" in refused.logged("migrate.failed")[0]["reason"]
