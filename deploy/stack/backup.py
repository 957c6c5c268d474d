"""``./dev backup`` and ``./dev restore``: run ``deploy/backup.sh`` on a state directory."""

import asyncio
import os
import shutil
from pathlib import Path

from contracts.registry import DATABASES
from stack.layout import StateLayout, write_private
from stack.options import Options
from stack.postgres import get_postgres_bin
from stack.supervisor import Stack, read_running_pid

SCRIPT = Path(__file__).parents[1] / "backup.sh"


async def create_backup(state: Path, target: Path) -> int:
    """Save databases and artifacts of a state directory, whether its stack is up or not. Returns the exit status."""
    layout = StateLayout(state)
    if read_running_pid(layout):
        return await _run_for_each_database("create", target, layout)
    return await _run_with_databases(layout, "create", target)


async def restore_backup(state: Path, source: Path) -> int:
    """Replace databases and artifacts of a state directory, and delete its streams. Returns the exit status.

    The stack must be down. Secrets and credentials stay: a backup does not contain them.
    """
    layout = StateLayout(state)
    if read_running_pid(layout):
        print("stop the system first: ./dev down")
        return 1
    credentials = layout.credentials_file.read_text() if layout.credentials_file.exists() else None
    status = await _run_with_databases(layout, "restore", source)
    if credentials is not None:
        write_private(layout.credentials_file, credentials)  # the stack replaces them if its PostgreSQL server is new
    if status == 0:
        shutil.rmtree(layout.nats / "jetstream", ignore_errors=True)  # streams are filled again from the databases
    return status


async def _run_with_databases(layout: StateLayout, command: str, folder: Path) -> int:
    stack = Stack(Options(layout.state, port=0, nodes=0, bare=True), lambda _: None)
    try:
        await stack.up()
        return await _run_for_each_database(command, folder, layout)
    finally:
        await stack.down()


async def _run_for_each_database(command: str, folder: Path, layout: StateLayout) -> int:
    environment = {"PATH": f"{get_postgres_bin()}{os.pathsep}{os.environ.get('PATH', os.defpath)}", "LC_ALL": "C.UTF-8"}
    for service in DATABASES:
        lines = (layout.environments / f"{service}.env").read_text().splitlines()
        variables = dict(line.split("=", 1) for line in lines)
        names = (f"{service.upper()}_DATABASE_URL", "GATEWAY_ARTIFACTS_URL")
        environment |= {name: variables[name] for name in names if name in variables}
    process = await asyncio.create_subprocess_exec(str(SCRIPT), command, str(folder), env=environment)
    return await process.wait()
