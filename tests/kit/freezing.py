"""Stops processes with SIGSTOP: they execute nothing, but their connections stay open."""

import fcntl
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import psutil

LOCK_VARIABLE = "PROCESS_PAUSES_LOCK"
"""Names the file that ``tests.kit.process_pauses`` locks while it pauses a process."""
FROZEN_WITHIN_S = 5.0


def freeze(pid: int) -> None:
    """Stop a process (SIGSTOP), and wait until it has stopped.

    First wait for the end of a pause by ``tests.kit.process_pauses``, because that end could continue the process.

    Raises:
        ProcessLookupError: the process has ended.
    """
    path = os.environ.get(LOCK_VARIABLE)
    with locked(Path(path)) if path else nullcontext():
        os.kill(pid, signal.SIGSTOP)
        deadline = time.monotonic() + FROZEN_WITHIN_S
        while not is_frozen(pid) and time.monotonic() < deadline:
            time.sleep(0.001)


def is_frozen(pid: int) -> bool:
    """Return whether a process is stopped.

    Raises:
        ProcessLookupError: the process has ended.
    """
    try:
        status = psutil.Process(pid).status()
    except psutil.NoSuchProcess as ended:
        raise ProcessLookupError from ended
    if status == psutil.STATUS_ZOMBIE:
        raise ProcessLookupError
    return bool(status == psutil.STATUS_STOPPED)


def unfreeze(pid: int) -> None:
    """Continue a process unless it has ended."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Freeze a process during the block."""
    freeze(pid)
    try:
        yield
    finally:
        unfreeze(pid)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
