"""``./dev`` without an installation: its menu, and the error for an unknown command."""

import sys
from pathlib import Path
from subprocess import run

DEV = Path(__file__).resolve().parents[3] / "dev"


def test_dev_without_arguments_prints_the_menu() -> None:
    said = run([sys.executable, DEV], capture_output=True, text=True, check=True).stdout
    for command in ("demo", "up", "login", "down", "test", "check", "migrate", "generate", "lock", "doctor"):
        assert f"./dev {command} " in said


def test_error_names_the_unknown_dev_command() -> None:
    wrong = run([sys.executable, DEV, "tset"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "'tset'" in wrong.stderr


def test_console_lock_file_contains_hashes_and_no_urls() -> None:
    text = (DEV.parent / "clients/console/package-lock.json").read_text()
    assert "://" not in text
    assert text.count('"integrity": "sha512-') > 50


def test_lock_files_contain_hashes_and_no_index_url() -> None:
    locks = sorted((DEV.parent / "deploy/locks").glob("*.txt"))
    assert {path.stem for path in locks} == {
        "all", "uv", "node", "auth", "executor", "gateway", "notifier", "scheduler",
    }  # fmt: skip
    for path in locks:
        text = path.read_text()
        assert "://" not in text
        assert all("--hash=sha256:" in entry for entry in text.split("\n\n") if "==" in entry)
