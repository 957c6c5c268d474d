import json
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from comfyfleet_client.cli import login_file, show
from comfyfleet_client.cli.failures import find_exit_code
from comfyfleet_client.cli.job_commands import _build_file_name
from comfyfleet_client.cli.login_file import Login
from comfyfleet_client.cli.main import app
from comfyfleet_client.cli.parameters import parse_values
from comfyfleet_client.errors import ComfyfleetError, DamagedDownload, ServerUnreachable, build_api_error
from comfyfleet_client.json_values import from_json
from comfyfleet_client.results import Job, Output
from tests.unit.client.test_calls import JOB
from tests.unit.client.test_flows import OUTPUT

LOGIN = Login("https://api.example", "ada", "a1", "r1", datetime(2026, 11, 23, 9, tzinfo=UTC))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("COMFYFLEET_URL", "COMFYFLEET_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COMFYFLEET_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "broken.json").write_text("{")
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        "",
        "nonsense",
        "submit",
        "submit --prompt a --workflow b",
        "submit --workflow absent.json",
        "submit --workflow list.json",
        "submit --workflow broken.json",
        "submit --prompt a --param seed",
        "submit --prompt a --param workflow={}",
        "submit --prompt a --label =x",
        "submit --prompt a --idempotency-key ä",
        "submit --prompt a --width wide",
        "submit --prompt a --random-seed",
        "workflows",
        "workflows validate absent.json",
        "workflows save name list.json",
        "workflows run name --version 0",
        "workflows run name --param seed",
        "jobs --limit 0",
        "jobs --since yesterday",
        "usage --days 91",
        "admin jobs --since 5x",
        "admin drain gpu-7 --grace -1",
        "admin prioritise JOB 101",
        "result",
        "keys",
        "--url nowhere whoami",
        "login --url ftp://api.example ada",
    ],
)
def test_cli_exits_with_2_for_wrong_usage(command: str) -> None:
    assert CliRunner().invoke(app, command).exit_code == 2


def test_api_key_with_invalid_characters_is_a_usage_error() -> None:
    said = CliRunner().invoke(app, "whoami", env={"COMFYFLEET_KEY": "ä"})
    assert said.exit_code == 2
    assert "ä" not in said.output


@pytest.mark.parametrize(
    ("error", "status"),
    [
        *((build_api_error(status, {}, b""), 3) for status in (400, 401, 403, 404, 409, 413, 422, 429)),
        *((build_api_error(status, {}, b""), 4) for status in (500, 502, 503)),
        (ServerUnreachable("cut"), 4),
        (DamagedDownload("other bytes"), 4),
    ],
)
def test_each_kind_of_failure_has_its_own_exit_status(error: ComfyfleetError, status: int) -> None:
    assert find_exit_code(error) == status


def test_cli_parameters_are_parsed_as_json_when_valid() -> None:
    texts = ["steps=20", "cfg_scale=7.5", "sampler=euler", "model=a=b", 'labels={"a": "b"}', "x=NaN", "y="]
    assert parse_values(texts) == {
        "steps": 20, "cfg_scale": 7.5, "sampler": "euler", "model": "a=b", "labels": {"a": "b"}, "x": "NaN", "y": "",
    }  # fmt: skip


def test_login_file_is_readable_by_its_owner_only(home: Path) -> None:
    assert login_file.load_login() is None
    login_file.save_login(LOGIN)
    login_file.save_login(LOGIN)
    file = home / "config" / "credentials.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [path.name for path in file.parent.iterdir()] == ["credentials.json"]
    assert login_file.load_login() == LOGIN
    for broken in ("", "{", "[]", json.dumps({"url": "https://api.example"})):
        file.write_text(broken)
        assert login_file.load_login() is None
    login_file.delete_login()
    login_file.delete_login()
    assert not file.exists()


@pytest.mark.parametrize("name", ["../../etc/passwd", "..\\..\\x", "/x", "a/../../b", "\x1b[2J.png", "", "..", "ü.png"])
def test_downloaded_files_stay_in_the_chosen_folder(name: str) -> None:
    file = _build_file_name(from_json(Job, JOB), 0, from_json(Output, OUTPUT | {"name": name}))
    assert file.startswith("01a2_0_")
    assert not set(file) & set("/\\\x1b")


def test_control_characters_in_names_are_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    show.jobs([from_json(Job, JOB | {"labels": {"a": "\x1b[31m[bold]red\n"}})])
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "[bold]" in printed
    assert len(printed.splitlines()) == 2
