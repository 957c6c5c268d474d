"""``--containers`` without a Docker engine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_missing_container_engine_ends_the_session_with_one_message(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "--containers", "tests/unit/gateway/test_settings.py"],
        cwd=ROOT,
        env={**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/no.sock", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == pytest.ExitCode.USAGE_ERROR
    said = [line for line in (ran.stdout + ran.stderr).splitlines() if line]
    assert len(said) == 1, said
    assert "--containers needs a Docker engine" in said[0]
