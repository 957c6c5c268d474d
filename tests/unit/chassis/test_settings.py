"""Secrets come from the environment or from files; placeholders and conflicts are refused with a clear message."""

from pathlib import Path

import pytest

from auth.settings import Settings as AuthSettings
from chassis.cli import load_settings
from chassis.settings import SecretKeySettings

NEW, OLD = "0123456789abcdef" * 2, "fedcba9876543210" * 2
UNFILLED = "postgresql+asyncpg://auth:change-me@127.0.0.1:1/auth"
DATABASE = "postgresql+asyncpg://auth:a-generated-password@127.0.0.1:1/auth"


def settings(monkeypatch: pytest.MonkeyPatch, **environment: str) -> SecretKeySettings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return SecretKeySettings()


@pytest.mark.requirement("setting NAME_FILE")
def test_every_secret_can_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    files = {"SECRET_KEYS": f"{NEW},{OLD}", "AUTH_NATS_PASSWORD": "p@ssw0rd of nats", "DATABASE_URL": DATABASE}
    for name, value in files.items():
        path = tmp_path / name
        path.write_text(f"{value}\n")
        monkeypatch.setenv(f"{name}_FILE", str(path))
    loaded = load_settings(AuthSettings)
    assert loaded.database_url.get_secret_value() == DATABASE
    assert loaded.accepted_secret_keys == (NEW, OLD)
    assert loaded.nats_password is not None
    assert loaded.nats_password.get_secret_value() == "p@ssw0rd of nats"


@pytest.mark.requirement("setting SECRET_KEYS")
def test_first_secret_key_may_also_be_set_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = settings(monkeypatch, SECRET_KEYS=f"{NEW}, {OLD}", SECRET_KEY=NEW)
    assert loaded.accepted_secret_keys == (NEW, OLD)
    assert {secret for _, secret in loaded.secret_values()} == {NEW, OLD}


@pytest.mark.requirement("setting NAME_FILE")
@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "AUTH_SECRET_KEY is required."),
        ({"SECRET_KEY": "change-me"}, "AUTH_SECRET_KEY has a placeholder."),
        ({"SECRET_KEY": "a" * 40}, "AUTH_SECRET_KEY has a placeholder."),
        ({"SECRET_KEY": NEW[:-1]}, "AUTH_SECRET_KEY has fewer than 32 characters."),
        ({"SECRET_KEYS": f"{NEW},secret"}, "AUTH_SECRET_KEYS has a placeholder."),
        ({"SECRET_KEYS": f"{NEW},{OLD}", "SECRET_KEY": OLD}, "AUTH_SECRET_KEY is not the first of AUTH_SECRET_KEYS."),
        ({"SECRET_KEY": NEW, "AUTH_NATS_PASSWORD": "change-me"}, "AUTH_NATS_PASSWORD has a placeholder."),
        ({"SECRET_KEY": NEW, "AUTH_NATS_PASSWORD": "short"}, "AUTH_NATS_PASSWORD: the secret has fewer than 8"),
        ({"SECRET_KEY": NEW, "AUTH_DATABASE_URL": UNFILLED}, "AUTH_DATABASE_URL has a placeholder."),
        ({"SECRET_KEY": NEW, "SECRET_KEY_FILE": "/dev/null"}, "SECRET_KEY and SECRET_KEY_FILE are both set."),
        ({"SECRET_KEY_FILE": "/nowhere"}, "SECRET_KEY_FILE: cannot read /nowhere: No such file or directory."),
        ({"AUTH_SECRET_KEY_FILE": "/dev/null"}, "AUTH_SECRET_KEY_FILE: /dev/null is empty."),
    ],
    ids=[
        "missing", "placeholder", "one character", "short", "placeholder among several", "not the first",
        "placeholder of NATS", "short password", "placeholder in the database URL", "value and file",
        "missing file", "empty file",
    ],
)  # fmt: skip
def test_unusable_secret_is_refused_at_start(
    environment: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in ({"AUTH_DATABASE_URL": DATABASE} | environment).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        load_settings(AuthSettings)
    assert ended.value.code == 78
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"Invalid setting: {message}")
    assert NEW not in line
    assert OLD not in line
    assert "a-generated" not in line
