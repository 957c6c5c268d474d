"""Runs all tests, then runs those that failed once more: ``python -m tests.kit.retry_failed``.

CI uses it. Why, and why nothing else does: docs/decisions/0068-retry-failed-tests-in-ci.md.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MAX_RETRIED = 50
"""More failures than one package fixture causes. If more tests fail, none is retried."""
TESTS_FAILED = 1
"""The exit status of pytest after which it has recorded which tests failed."""


def run_tests(command: Sequence[str | Path], recorded: Path) -> int:
    """Run a test command, and run its failed tests once more. Print each test that failed only once.

    The second run has one process and stops at its first failure, so it takes no longer than the failed tests.

    Args:
        command: runs pytest; options and test ids are appended.
        recorded: the file in which pytest's cache records failed tests.

    Returns:
        0 if each test passed in its first or second run, otherwise the exit status of pytest.
    """
    status = subprocess.run([*command, "--cache-clear"], check=False).returncode
    if status != TESTS_FAILED or not recorded.exists():
        return status
    failed = sorted(json.loads(recorded.read_text()))
    if len(failed) > MAX_RETRIED:
        print(f"{len(failed)} tests failed; at most {MAX_RETRIED} are retried", flush=True)
        return status
    print(f"\nRetrying the {len(failed)} tests that failed.\n", flush=True)
    status = subprocess.run([*command, "--exitfirst", *failed], check=False).returncode
    if status == 0:
        print("\nUnstable: these tests failed, then passed. Their first failures are printed above.", flush=True)
        print("\n".join(failed), flush=True)
    return status


if __name__ == "__main__":
    sys.exit(run_tests([ROOT / "dev", "test"], ROOT / ".pytest_cache/v/cache/lastfailed"))
