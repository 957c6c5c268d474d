"""The terminal output of ``up`` and ``down``."""

import asyncio
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console

from stack.credentials import Credentials
from stack.layout import StateLayout
from stack.login_links import NoLoginLink, create_login_link
from stack.options import Options
from stack.ports import PortTaken
from stack.stop_signals import StopRequested, StopSignals
from stack.supervisor import AlreadyUp, Stack, StackFailed, read_running_pid
from stack.unprivileged import CannotRunPostgres

REFUSALS = (AlreadyUp, PortTaken, CannotRunPostgres, StackFailed)
STOP_TIMEOUT_S = 60.0


async def up(options: Options, console: Console) -> int:
    """Run a stack until Ctrl-C or SIGTERM. Returns the exit status."""

    def log(line: str) -> None:
        console.print(f"  {line}", highlight=False, markup=False)

    stack = Stack(options, log)
    signals = StopSignals(stack.kill)
    signals.install_handlers()
    try:
        credentials = await signals.run_until_stopped(stack.up())
        links = await signals.run_until_stopped(stack.create_login_links())
        _print_summary(credentials, links, options, console)
        await signals.requested.wait()
    except StopRequested:
        pass
    except REFUSALS as refused:
        console.print(f"[red]✗[/] {refused}", highlight=False, soft_wrap=True)
        return 1
    finally:
        if signals.requested.is_set():
            console.print("stopping")
        await stack.down()
    return 0


def down(state: Path, console: Console) -> int:
    """Stop the stack of a state directory and wait until it has stopped. Returns the exit status."""
    layout = StateLayout(state)
    pid = read_running_pid(layout)
    if pid is None:
        console.print(f"nothing is running on {state}", highlight=False)
        return 0
    os.kill(pid, signal.SIGTERM)
    give_up = time.monotonic() + STOP_TIMEOUT_S
    while read_running_pid(layout) == pid:
        if time.monotonic() > give_up:
            console.print(f"process {pid} did not stop within {STOP_TIMEOUT_S:.0f} s", highlight=False)
            return 1
        time.sleep(0.05)
    console.print("stopped", highlight=False)
    return 0


def run(options: Options) -> int:
    """Run the coroutine ``up`` to completion on the terminal. Returns the exit status."""
    return asyncio.run(up(options, Console()))


def login(state: Path, username: str, console: Console) -> int:
    """Print a link that logs a user in to the console of a running stack. Returns the exit status."""
    try:
        link = asyncio.run(create_login_link(StateLayout(state), username))
    except NoLoginLink as refused:
        console.print(f"[red]✗[/] {refused}", highlight=False, soft_wrap=True)
        return 1
    console.print(link, highlight=False, soft_wrap=True)
    return 0


def _print_summary(credentials: Credentials, links: Mapping[str, str], options: Options, console: Console) -> None:
    def line(title: str, text: str) -> None:
        console.print(f"[bold]{title:<12}[/]{text}", highlight=False, soft_wrap=True)

    console.print()
    if options.bare:
        line("NATS", credentials.nats_url)
        line("nodes", " ".join(credentials.nodes))
        line("services", f"env -i $(cat {options.state}/env/auth.env) .venv/bin/python -m auth serve")
        return
    line("console", f"{links['demo']}   (user demo; works once, for 10 minutes; then: ./dev login)")
    line("operator", links["admin"])
    line("URL", credentials.base_url)
    line("key", f"{credentials.demo_key}   (user demo, tier pro; all in {options.state}/credentials.json)")
    line("try", f"curl -H 'X-API-Key: {credentials.demo_key}' -H 'Content-Type: application/json' \\")
    line("", f'  -d \'{{"prompt": "a lighthouse at dusk"}}\' {credentials.base_url}/api/v1/jobs')
    line("stop", "Ctrl-C")
