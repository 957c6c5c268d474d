"""Ends this process after a fault that only a restart can repair."""

import signal
import sys
from types import FrameType


class _State:
    """Whether the process ends because of a failure."""

    failed = False


def stop_with_failure() -> None:
    """End this process gracefully, as after SIGTERM, but with status 1."""
    _State.failed = True
    signal.raise_signal(signal.SIGTERM)


def handle_termination(number: int, _: FrameType | None) -> None:
    """Exit with status 1 after ``stop_with_failure``, otherwise as a process without a handler of this signal would.

    Install it for SIGTERM before the server runs. The server handles the signal itself, and raises it again when it has
    shut down.
    """
    if _State.failed:
        sys.exit(1)
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
