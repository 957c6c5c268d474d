"""``./dev doctor``: checks this machine and says what is missing and how to fix it."""

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
from stack.nats_server import binary
from stack.ports import PortTaken, listen
from stack.postgres import binaries
from stack.supervisor import read_running_pid
from stack.unprivileged import CannotRunPostgres, choose_runner

GIB = 1 << 30
NEED_MEMORY = 2 * GIB
NEED_DISK = 2 * GIB
NEED_FILES = 1024


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. ``advice`` says what to do if it is not ``good``."""

    what: str
    found: str
    good: bool
    advice: str = ""


def run_checks(port: int, state: Path) -> int:
    """Run all checks and print the results. Returns 0 if nothing is missing."""
    console = Console()
    findings = list(_collect_findings(port, state))
    for finding in findings:
        mark = "[green]✓[/]" if finding.good else "[red]✗[/]"
        advice = "" if finding.good else f"  [yellow]{finding.advice}[/]"
        console.print(f"{mark} {finding.what:<18}{finding.found}{advice}", highlight=False, soft_wrap=True)
    return 0 if all(finding.good for finding in findings) else 1


def _collect_findings(port: int, state: Path) -> Iterator[Finding]:
    version = platform.python_version()
    yield Finding("Python", f"{version} ({sys.executable})", sys.version_info >= (3, 11), "3.11 or newer is needed")
    yield Finding("cores", str(os.cpu_count()), good=True)
    yield _check_program("nats-server", [binary(), "--version"])
    yield _check_program("PostgreSQL", [binaries() / "postgres", "--version"])
    yield _check_stack(state)
    yield _check_port(port, state)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    yield Finding("memory", f"{memory / GIB:.1f} GiB", memory >= NEED_MEMORY, "at least 2 GiB are needed")
    there = next(folder for folder in (state, *state.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    yield Finding("disk", f"{free / GIB:.1f} GiB free at {there}", free >= NEED_DISK, "at least 2 GiB are needed")
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    yield Finding("open files", str(files), files >= NEED_FILES, f"ulimit -n {NEED_FILES}")


def _check_program(what: str, command: list[Path | str]) -> Finding:
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError) as failure:
        return Finding(what, f"does not run: {failure}", good=False, advice="remove .venv and run ./dev again")
    return Finding(what, said, good=True)


def _check_stack(state: Path) -> Finding:
    try:
        runner = choose_runner(binaries() / "postgres", StateLayout(state).postgres)
    except CannotRunPostgres as refused:
        return Finding("PostgreSQL as", "no user", good=False, advice=str(refused))
    return Finding("PostgreSQL as", runner.how, good=True)


def _check_port(port: int, state: Path) -> Finding:
    pid = read_running_pid(StateLayout(state))
    if pid:
        return Finding("port", f"a stack runs on {state}, process {pid}", good=True)
    try:
        listen(port).close()
    except PortTaken as taken:
        return Finding("port", str(port), good=False, advice=str(taken))
    return Finding("port", f"{port} is free", good=True)
