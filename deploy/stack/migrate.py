"""``./dev migrate``: migrates every database to its newest schema, whether the stack is up or not."""

import asyncio
import sys
from pathlib import Path

from contracts.registry import DATABASES
from stack.layout import StateLayout
from stack.options import Options
from stack.supervisor import Stack, read_running_pid


async def migrate_databases(state: Path) -> int:
    """Migrate the databases of a state directory. Returns the exit status.

    If a stack is up, its server is used. Otherwise PostgreSQL and NATS run for the duration.
    """
    layout = StateLayout(state)
    if read_running_pid(layout):
        return await _migrate_all(layout)
    stack = Stack(Options(state, port=0, nodes=0, bare=True), lambda _: None)
    try:
        await stack.up()
        return await _migrate_all(layout)
    finally:
        await stack.down()


async def _migrate_all(layout: StateLayout) -> int:
    for service in DATABASES:
        lines = (layout.environments / f"{service}.env").read_text().splitlines()
        environment = dict(line.split("=", 1) for line in lines)
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", service, "migrate", env=environment)
        code = await process.wait()
        print(f"{service}: {'done' if code == 0 else f'failed ({code})'}")
        if code:
            return code
    return 0
