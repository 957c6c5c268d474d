"""Ends this process after a fault that only a restart can heal."""

import signal
import sys
from types import FrameType


class _Process:
    """Why this process ends."""

    failed = False


def fail() -> None:
    """End this process like SIGTERM does, that is gracefully, but with status 1."""
    _Process.failed = True
    signal.raise_signal(signal.SIGTERM)


def end(number: int, _: FrameType | None) -> None:
    """End with status 1 after ``fail``, and otherwise like a process without a handler of this signal.

    Install it for SIGTERM before the server runs. The server handles the signal itself, and raises it again when it has
    shut down.
    """
    if _Process.failed:
        sys.exit(1)
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
