"""Runs pytest while random processes of the run are paused, to find tests that depend on timing.

``python -m tests.kit.process_pauses [--seed N] [PYTEST ARGUMENTS]``. One process at a time stops for 0.2 to 2 seconds,
as on a machine with too much work: workers of pytest, services, NATS and PostgreSQL's backends. A test that then fails
has a time limit that is too short, or expects an order that nothing guarantees. Linux and macOS only.

The seed repeats the lengths of pauses and gaps. It does not repeat which process pauses at which line of a test: that
depends on the processes that run at that moment. Run a test that failed several times to see it again.

Tests that freeze a process themselves do so with ``tests.kit.freezing``, which waits for the end of a pause.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tests.kit.freezing import LOCK_VARIABLE, locked

MIN_PAUSE_S, MAX_PAUSE_S = 0.2, 2.0
MAX_GAP_S = 1.0  # between two pauses


def main() -> int:
    """Return the exit status of pytest."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options, arguments = parser.parse_known_args()
    drawn = random.Random(options.seed)  # noqa: S311 - no secret
    pauses = 0
    with tempfile.TemporaryDirectory() as folder:
        lock = Path(folder) / "lock"
        environment = {**os.environ, LOCK_VARIABLE: str(lock)}
        run = subprocess.Popen([sys.executable, "-m", "pytest", *arguments], env=environment)
        while run.poll() is None:
            time.sleep(drawn.uniform(0, MAX_GAP_S))
            with locked(lock):
                pauses += _pause_one(run.pid, drawn)
    print(f"{pauses} pauses, seed {options.seed}")
    return run.returncode


def _pause_one(pid: int, drawn: random.Random) -> bool:
    """Pause one descendant of a process; return whether there was one. Processes frozen by a test are left alone."""
    pause_s = drawn.uniform(MIN_PAUSE_S, MAX_PAUSE_S)
    choice = drawn.random()
    try:
        found = [one for one in psutil.Process(pid).children(recursive=True) if one.status() != psutil.STATUS_STOPPED]
        if not found:
            return False
        paused = found[int(choice * len(found))]
        os.kill(paused.pid, signal.SIGSTOP)
        try:
            time.sleep(pause_s)
        finally:
            os.kill(paused.pid, signal.SIGCONT)
    except (psutil.NoSuchProcess, ProcessLookupError):
        return False  # it has ended
    return True


if __name__ == "__main__":
    sys.exit(main())
