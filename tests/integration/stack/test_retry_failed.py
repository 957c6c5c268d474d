"""CI retries failed tests once: a test that fails twice fails the run."""

import json
import sys
from pathlib import Path

import pytest

from tests.kit.retry_failed import MAX_RETRIED, run_tests

UNSTABLE = """
    from pathlib import Path

    def test_unstable():
        earlier = Path(__file__).with_name("earlier")
        passes = earlier.exists()
        earlier.touch()
        assert passes
"""
BROKEN = """
    import pytest

    @pytest.mark.parametrize("number", range({count}))
    def test_broken(number):
        with open("runs", "a") as runs:
            runs.write(".")
        assert False
"""


def run(project: Path, *sources: str) -> int:
    """Run the given test modules as CI does, and return the exit status."""
    (project / "pytest.ini").write_text("[pytest]\n")
    for number, source in enumerate(sources):
        (project / f"test_{number}.py").write_text("\n".join(line.removeprefix("    ") for line in source.split("\n")))
    command = ["env", "-C", str(project), sys.executable, "-m", "pytest"]
    return run_tests(command, project / ".pytest_cache/v/cache/lastfailed")


def test_passes_and_names_tests_that_failed_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, UNSTABLE, "def test_sound(): pass") == 0
    assert capfd.readouterr().out.rstrip().endswith("printed above.\ntest_0.py::test_unstable")


def test_fails_if_a_test_fails_twice(tmp_path: Path) -> None:
    assert run(tmp_path, UNSTABLE, BROKEN.format(count=3)) == 1
    assert (tmp_path / "runs").read_text() == "....", "the retry stops at the first failure"


def test_does_not_retry_many_failures(tmp_path: Path) -> None:
    assert run(tmp_path, BROKEN.format(count=MAX_RETRIED + 1)) == 1
    assert len((tmp_path / "runs").read_text()) == MAX_RETRIED + 1


def test_does_not_retry_when_tests_could_not_run(tmp_path: Path) -> None:
    recorded = tmp_path / ".pytest_cache/v/cache/lastfailed"
    recorded.parent.mkdir(parents=True)
    recorded.write_text(json.dumps({"test_0.py::test_earlier": True}))
    assert run(tmp_path) == 5
