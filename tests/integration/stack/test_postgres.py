"""PostgreSQL in the stack: run by any user, restarted after any kill, with one database per service."""

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from chassis.database.postgres import Database
from chassis.database.schema import SchemaCheck
from chassis.database.url import DatabaseUrl
from contracts.registry import DATABASES
from stack import unprivileged
from stack.credentials import Secrets
from stack.layout import StateLayout
from stack.ports import find_free_ports
from stack.postgres import PostgresServer, get_postgres_bin
from stack.process_supervisor import ProcessSupervisor, ProcessUnit
from stack.schemas import are_schemas_current
from stack.unprivileged import CannotRunPostgres, choose_runner
from tests.kit.waiting import until


def ignore(*_: object) -> None:
    """Ignore log lines."""


@asynccontextmanager
async def running_server(postgres: PostgresServer) -> AsyncIterator[ProcessSupervisor]:
    supervisor = ProcessSupervisor(
        ProcessUnit("postgres", postgres.start, postgres.is_ready, stop_signal=signal.SIGINT), ignore, ignore
    )
    supervisor.start()
    try:
        async with asyncio.timeout(60):
            await supervisor.wait_until_ready()
        yield supervisor
    finally:
        await supervisor.stop()


@pytest.fixture
async def postgres(layout: StateLayout) -> PostgresServer:
    server = PostgresServer.for_state(layout, Secrets.load(layout.secrets_file), find_free_ports(1)[0])
    assert await server.create()
    return server


def dsn(server: PostgresServer, role: str, database: str | None = None) -> str:
    url = server.build_url(role).replace("+asyncpg", "")
    return url.removesuffix(f"/{role}") + f"/{database or role}"


async def find_postmaster_pid(server: PostgresServer) -> int:
    return int((server.layout.postgres / "postmaster.pid").read_text().splitlines()[0])


@pytest.mark.requirement("S-78")
async def test_database_role_can_connect_only_to_its_own_database(postgres: PostgresServer) -> None:
    async with running_server(postgres):
        for role in DATABASES:
            own = await asyncpg.connect(dsn(postgres, role))
            await own.execute("create table mine (id int)")
            await own.close()
            for other in {*DATABASES, "postgres", "template1"} - {role}:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await asyncpg.connect(dsn(postgres, role, other))


async def test_a_wrong_password_is_refused(postgres: PostgresServer) -> None:
    async with running_server(postgres):
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(dsn(postgres, "auth"), password="wrong")


async def test_database_without_the_newest_migration_is_not_current(postgres: PostgresServer) -> None:
    async def is_current() -> bool:
        return await are_schemas_current(postgres, ["notifier"])

    assert not await is_current()  # no server is running
    async with running_server(postgres):
        assert not await is_current()
        connection = await asyncpg.connect(dsn(postgres, "notifier"))
        await connection.execute("CREATE TABLE alembic_version (version_num text)")
        assert not await is_current()
        await connection.execute("INSERT INTO alembic_version VALUES ('0002')")
        assert not await is_current()
        newest = SchemaCheck("notifier", Database(DatabaseUrl.parse(postgres.build_url("notifier")), name="test")).head
        await connection.execute("UPDATE alembic_version SET version_num = $1", newest)
        assert await is_current()
        await connection.close()


@pytest.mark.requirement("F-85")
async def test_committed_rows_survive_a_killed_postgres(postgres: PostgresServer) -> None:
    async with running_server(postgres) as supervisor:
        before = await asyncpg.connect(dsn(postgres, "auth"))
        await before.execute("create table kept as select 42 as answer")
        killed = await find_postmaster_pid(postgres)
        os.kill(killed, signal.SIGKILL)

        async def restarted() -> bool:
            return supervisor.restarts > 0

        await until(restarted)
        async with asyncio.timeout(60):
            await supervisor.wait_until_ready()
        assert await find_postmaster_pid(postgres) != killed
        after = await asyncpg.connect(dsn(postgres, "auth"))
        assert await after.fetchval("select answer from kept") == 42
        assert await after.fetchval("show fsync") == "on"
        await after.close()
        before.terminate()


@pytest.mark.requirement("F-168")
async def test_postgres_starts_although_its_old_pid_is_reused(postgres: PostgresServer) -> None:
    async with running_server(postgres):
        pass
    lines = [str(os.getpid()), str(postgres.layout.postgres), "1", str(postgres.port), "", "127.0.0.1", "1 1", "ready"]
    (postgres.layout.postgres / "postmaster.pid").write_text("\n".join(lines))
    async with running_server(postgres):
        connection = await asyncpg.connect(dsn(postgres, "scheduler"))
        await connection.close()


async def test_existing_data_directory_is_not_changed(postgres: PostgresServer) -> None:
    assert not await postgres.create()


async def test_incomplete_data_directory_is_recreated(postgres: PostgresServer) -> None:
    postgres.layout.postgres.rename(postgres.layout.state / "postgres.new")
    assert await postgres.create()
    async with running_server(postgres):
        pass


@pytest.fixture
def open_layout() -> Iterator[StateLayout]:
    """A state directory that another user can access, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        layout = StateLayout(Path(folder) / "state")
        layout.create()
        yield layout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another way")
async def test_root_without_user_namespaces_runs_postgres_as_an_account(
    open_layout: StateLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unprivileged, "enter_user_namespace", lambda: os.chdir("/nowhere"))
    reachable = await asyncio.create_subprocess_exec(
        get_postgres_bin() / "postgres", "--version", user="nobody", group="nogroup"
    )
    if await reachable.wait() != 0:
        pytest.skip("this checkout is closed to other accounts")
    server = PostgresServer.for_state(open_layout, Secrets.load(open_layout.secrets_file), find_free_ports(1)[0])
    await server.create()
    assert server.runner.owner is not None
    assert os.stat(server.layout.postgres).st_uid == server.runner.owner[0]  # noqa: PTH116 - a test
    async with running_server(server):
        connection = await asyncpg.connect(dsn(server, "auth"))
        await connection.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another way")
def test_root_without_any_unprivileged_account_gets_instructions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unprivileged, "ACCOUNTS", ())
    monkeypatch.setattr(unprivileged, "enter_user_namespace", lambda: os.chdir("/nowhere"))
    with pytest.raises(CannotRunPostgres, match="normal user"):
        choose_runner(get_postgres_bin() / "postgres", tmp_path / "postgres")
