"""``./dev doctor``: checks this machine and prints what is missing and how to fix it."""

import os
import platform
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from stack.layout import StateLayout
from stack.nats_server import find_nats_server
from stack.ports import PortTaken, open_listener
from stack.postgres import get_postgres_bin
from stack.supervisor import read_running_pid
from stack.unprivileged import CannotRunPostgres, choose_runner

GIB = 1 << 30
MIN_MEMORY = 2 * GIB
MIN_DISK = 2 * GIB
MIN_FILES = 1024


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. ``advice`` says what to do if it is not ``is_ok``."""

    name: str
    result: str
    is_ok: bool
    advice: str = ""


def run_checks(port: int, state: Path) -> int:
    """Run all checks and print the results. Returns 0 if nothing is missing."""
    console = Console()
    findings = list(_collect_findings(port, state))
    for finding in findings:
        mark = "[green]✓[/]" if finding.is_ok else "[red]✗[/]"
        advice = "" if finding.is_ok else f"  [yellow]{finding.advice}[/]"
        console.print(f"{mark} {finding.name:<18}{finding.result}{advice}", highlight=False, soft_wrap=True)
    return 0 if all(finding.is_ok for finding in findings) else 1


def _collect_findings(port: int, state: Path) -> Iterator[Finding]:
    version = platform.python_version()
    yield Finding("Python", f"{version} ({sys.executable})", sys.version_info >= (3, 11), "3.11 or newer is needed")
    yield Finding("cores", str(os.cpu_count()), is_ok=True)
    yield _check_program("nats-server", [find_nats_server(), "--version"])
    yield _check_program("PostgreSQL", [get_postgres_bin() / "postgres", "--version"])
    yield _check_postgres_user(state)
    yield _check_port(port, state)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    yield Finding("memory", f"{memory / GIB:.1f} GiB", memory >= MIN_MEMORY, "at least 2 GiB are needed")
    existing = next(folder for folder in (state, *state.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    yield Finding("disk", f"{free / GIB:.1f} GiB free at {existing}", free >= MIN_DISK, "at least 2 GiB are needed")
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    yield Finding("open files", str(files), files >= MIN_FILES, f"ulimit -n {MIN_FILES}")


def _check_program(name: str, command: list[Path | str]) -> Finding:
    try:
        version = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError) as failure:
        return Finding(name, f"does not run: {failure}", is_ok=False, advice="remove .venv and run ./dev again")
    return Finding(name, version, is_ok=True)


def _check_postgres_user(state: Path) -> Finding:
    try:
        runner = choose_runner(get_postgres_bin() / "postgres", StateLayout(state).postgres)
    except CannotRunPostgres as refused:
        return Finding("PostgreSQL as", "no user", is_ok=False, advice=str(refused))
    return Finding("PostgreSQL as", runner.description, is_ok=True)


def _check_port(port: int, state: Path) -> Finding:
    pid = read_running_pid(StateLayout(state))
    if pid:
        return Finding("port", f"a stack runs on {state}, process {pid}", is_ok=True)
    try:
        open_listener(port).close()
    except PortTaken as taken:
        return Finding("port", str(port), is_ok=False, advice=str(taken))
    return Finding("port", f"{port} is free", is_ok=True)
